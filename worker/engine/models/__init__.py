"""The device's side of a training: what is done in a step and in a test pass, for one run or several."""
