"""Floor 0, the words: errors, states, outcomes, options, events and reports. Frozen data, no behaviour."""
