// Ask a person before you act. Node 22.18 or newer runs this file as it is, nothing to install.
const GATEHOUSE = "http://127.0.0.1:8000/api/v1";
const TOKEN = "gth_...";

type Arguments = Record<string, unknown>;
type Approval = { id: string; status: string; arguments: Arguments; decision: { reason: string } | null };

async function call(path: string, body?: unknown): Promise<Approval> {
  const answer = await fetch(GATEHOUSE + path, {
    method: body ? "POST" : "GET",
    headers: { Authorization: `Bearer ${TOKEN}`, "Content-Type": "application/json" },
    body: body ? JSON.stringify(body) : undefined,
  });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as Approval;
}

/** The arguments to act with: a person may have changed them. Throws where the answer is no. */
export async function approved(tool: string, args: Arguments, reason = ""): Promise<Arguments> {
  let asked = await call("/approvals", { tool, arguments: args, reason });
  while (asked.status === "pending") asked = await call(`/approvals/${asked.id}?wait=60`);
  // denied, expired, withdrawn or cancelled
  if (asked.status !== "approved") throw new Error(`${tool}: ${asked.status}. ${asked.decision?.reason ?? ""}`);
  return asked.arguments;
}

function wireMoney({ account, amount }: Arguments): string {
  return `${amount} wired to ${account}`; // put your own action here
}

console.log(wireMoney(await approved("wire_money", { account: "acme", amount: 5 }, "Invoice 7 is due.")));
