"""Long runs over drawn schedules. Short forms of them are tests."""
