"""Floor 1, the model: errors, states, outcomes, options, events and reports. Frozen data, no behaviour."""
