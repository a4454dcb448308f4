"""The application layer: functions over a `Context` that the API, the console and the terminal share."""
