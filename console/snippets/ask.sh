#!/bin/sh
# Ask a person before you act, and wait for the word.
GATEHOUSE=http://127.0.0.1:8000/api/v1
TOKEN=gth_...

# With the same key, asking again finds the same request: nothing is lost if this script dies while it waits.
asked=$(curl -sS --fail-with-body "$GATEHOUSE/approvals" \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -H "Idempotency-Key: ${KEY:-invoice-7}" \
  -d '{"tool": "wire_money", "arguments": {"account": "acme", "amount": 5}, "reason": "Invoice 7 is due."}')
id=$(printf '%s' "$asked" | grep -o '"id": *"[^"]*"' | head -n 1 | cut -d '"' -f 4)

# Each of these waits up to a minute for the decision.
while answer=$(curl -sS --fail-with-body "$GATEHOUSE/approvals/$id?wait=60" -H "Authorization: Bearer $TOKEN") &&
  printf '%s' "$answer" | grep -q '"status": *"pending"'; do :; done

printf '%s\n' "$answer" # act only on "approved", with its "arguments": a person may have changed them
