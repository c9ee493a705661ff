"""The admin's menu and colour."""

from typing import Any

from django.urls import reverse_lazy

# Ink, as on the other pages: colour is kept for risk and state.
INK = {
    "50": "#f3f6f9",
    "100": "#e4eaf1",
    "200": "#c9d5e2",
    "300": "#a4b8cd",
    "400": "#9db3ca",
    "500": "#8aa4c0",
    "600": "#3d5573",
    "700": "#33475f",
    "800": "#293a4d",
    "900": "#1f2c3b",
    "950": "#141d28",
}


def _entry(title: str, icon: str, model: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{model}_changelist")}


SECTIONS: list[dict[str, Any]] = [
    {
        "title": "Set up",
        "items": [
            _entry("Agents", "smart_toy", "agents_agent"),
            _entry("Credentials", "lock", "agents_credential"),
            _entry("Tool sources", "hub", "agents_toolsource"),
            _entry("Prices", "payments", "agents_price"),
            _entry("Memories", "psychology", "agents_memory"),
            _entry("People", "group", "auth_user"),
            _entry("Roles", "badge", "auth_group"),
            _entry("Channels", "notifications", "console_channel"),
            _entry("Escalation", "escalator_warning", "approvals_escalationstep"),
            _entry("Planted tests", "pest_control", "approvals_canaryplan"),
            _entry("Duty hours", "schedule", "approvals_dutyhours"),
            _entry("Second factors", "phonelink_lock", "approvals_secondfactor"),
            _entry("API tokens", "key", "console_apitoken"),
        ],
    },
    {
        "title": "History",
        "separator": True,
        "items": [
            _entry("Agent versions", "history", "agents_agentversion"),
            _entry("Runs", "play_circle", "agents_run"),
            _entry("Steps", "format_list_numbered", "agents_step"),
            _entry("Tool calls", "build", "agents_toolcall"),
            _entry("Approvals", "approval", "approvals_approval"),
            _entry("Decisions", "how_to_reg", "approvals_decision"),
            _entry("Callbacks", "webhook", "approvals_delivery"),
            _entry("Emergency stops", "front_hand", "approvals_halt"),
            _entry("Stand-ins", "transfer_within_a_station", "approvals_delegation"),
            _entry("Spans", "timeline", "traces_span"),
            _entry("Audit log", "receipt_long", "traces_event"),
        ],
    },
]
