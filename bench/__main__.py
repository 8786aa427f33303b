"""The door of ``python -m bench``. Worker processes import this file too, so it imports nothing for them."""

if __name__ == "__main__":
    from bench.command import main

    main()
