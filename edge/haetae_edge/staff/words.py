"""What the gateway's own pages say, in the languages they speak. English where the browser asks for neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

LANGUAGES: Final = ("en", "ko")

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "signing-in": {"en": "Signing in", "ko": "로그인 중"},
    "signing-in-text": {
        "en": "You are being sent to the sign-in page of your organisation.",
        "ko": "조직의 로그인 페이지로 이동합니다.",
    },
    "returning-text": {"en": "You are signed in.", "ko": "로그인되었습니다."},
    "continue": {"en": "Continue", "ko": "계속"},
    "sign-in": {"en": "Sign in", "ko": "로그인"},
    "sign-in-again": {"en": "Sign in again", "ko": "다시 로그인"},
    "sign-out": {"en": "Sign out", "ko": "로그아웃"},
    "sign-out-question": {
        "en": "Sign out of all tools? Open pages stop receiving data at once.",
        "ko": "모든 도구에서 로그아웃할까요? 열린 페이지의 데이터 수신이 즉시 중단됩니다.",
    },
    "stay": {"en": "Stay signed in", "ko": "로그인 유지"},
    "signed-out": {"en": "You are signed out", "ko": "로그아웃되었습니다"},
    "signed-out-text": {
        "en": "Connections that were open have been closed.",
        "ko": "열려 있던 연결이 모두 종료되었습니다.",
    },
    "tools": {"en": "Tools", "ko": "도구"},
    "no-tools": {"en": "There is nothing here that you may open.", "ko": "열 수 있는 도구가 없습니다."},
    "signed-in-as": {"en": "Signed in as", "ko": "로그인 계정:"},
    "try-again": {"en": "Try again", "ko": "다시 시도"},
    "all-tools": {"en": "All tools", "ko": "모든 도구"},
    "reference": {"en": "Reference", "ko": "문의 번호"},
    "login-required": {"en": "Please sign in", "ko": "로그인이 필요합니다"},
    "login-invalid": {
        "en": "This sign-in could not be completed. Please start again.",
        "ko": "로그인을 완료할 수 없습니다. 다시 시작해 주세요.",
    },
    "not-permitted": {"en": "You may not open this tool.", "ko": "이 도구를 열 권한이 없습니다."},
    "blocked": {"en": "This request is not allowed.", "ko": "이 요청은 허용되지 않습니다."},
    "foreign-origin": {
        "en": "This request came from another site and was refused.",
        "ko": "다른 사이트에서 온 요청이라 거부되었습니다.",
    },
    "sessions-unavailable": {
        "en": "This is temporarily unavailable. You are still signed in.",
        "ko": "일시적으로 이용할 수 없습니다. 로그인은 유지됩니다.",
    },
    "sign-in-unavailable": {
        "en": "Signing in is not possible at the moment.",
        "ko": "지금은 로그인할 수 없습니다.",
    },
}


def language_of(accept_language: Sequence[bytes]) -> str:
    """The language of the pages for these `Accept-Language` lines: the first of ours that is named."""
    for line in accept_language:
        for item in line[:200].split(b","):
            tag = item.partition(b";")[0].strip().lower().partition(b"-")[0].decode("ascii", "replace")
            if tag in LANGUAGES:
                return tag
    return LANGUAGES[0]


def say(key: str, language: str, default: str = "") -> str:
    """One text."""
    texts = WORDS.get(key)
    return texts[language] if texts is not None else default
