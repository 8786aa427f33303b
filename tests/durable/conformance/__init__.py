"""What holds for every engine: a suite for pytest, which comes with Steadypool for people who write an engine.

It needs one fixture, ``engine_kind``, which returns a `steadypool.testing.EngineKind`. In a plugin ``my_engine_kind``:

    @pytest.fixture
    def engine_kind() -> EngineKind:
        return EngineKind(name="mine", empty_store=..., hold=..., remember=..., written=..., open_with=MyEngine)

    pytest --pyargs steadypool.testing.conformance -p my_engine_kind

`steadypool.durable.engine.protocol` says what an engine owes. In Steadypool's own repository the suite is in
``tests/durable/conformance``, and runs on each engine.
"""
