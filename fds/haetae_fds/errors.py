"""What can go wrong in fraud detection, apart from events that are none (`haetae_fds.event.EventInvalid`)."""


class SettingsInvalid(ValueError):
    """Engine settings break a rule. The text names the setting."""

    code = "fds-settings-invalid"


class StateUnreadable(ValueError):
    """Saved engine state is damaged or of another version."""

    code = "fds-state-unreadable"


class FeedbackInvalid(ValueError):
    """What a person says about a decision cannot be taken: it is about none, or not said as it must be."""

    code = "fds-feedback-invalid"


class ModelInvalid(ValueError):
    """A model file, a registry of models or a rule file cannot be used. The text says why."""

    code = "fds-model-invalid"


class TrainingFailed(ValueError):
    """Events and labels do not make a model. The text says what is missing."""

    code = "fds-training-failed"
