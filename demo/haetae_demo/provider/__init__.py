"""An OpenID provider for development: sign-in pages, tokens, logout. Never for production."""
