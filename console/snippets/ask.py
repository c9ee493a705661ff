"""Ask a person before you act. Python 3.9 or newer, nothing to install."""

import json
from urllib.request import Request, urlopen

GATEHOUSE, TOKEN = "http://127.0.0.1:8000/api/v1", "gth_..."


def call(path, body=None):
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body else None
    with urlopen(Request(GATEHOUSE + path, data, headers), timeout=90) as answer:
        return json.load(answer)


def approved(tool, arguments, reason=""):
    """The arguments to act with: a person may have changed them. PermissionError where the answer is no."""
    asked = call("/approvals", {"tool": tool, "arguments": arguments, "reason": reason})
    while asked["status"] == "pending":
        asked = call(f"/approvals/{asked['id']}?wait=60")
    if asked["status"] != "approved":  # denied, expired, withdrawn or cancelled
        why = (asked["decision"] or {}).get("reason", "")
        raise PermissionError(f"{tool} was not allowed: {asked['status']}. {why}".strip())
    return asked["arguments"]


def wire_money(account, amount):
    """Put your own action here."""
    return f"{amount} wired to {account}"


if __name__ == "__main__":
    print(wire_money(**approved("wire_money", {"account": "acme", "amount": 5}, "Invoice 7 is due.")))
