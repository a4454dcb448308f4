"""Where the analyst's console lives: pages over the functions of `haetae_policy_api.service`, no logic of its own."""
