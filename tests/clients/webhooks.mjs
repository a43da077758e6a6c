// Messages that the senders' own libraries sign. Each is sent twice as it was signed, and once changed. Prints the answers.

import { sign } from "@octokit/webhooks-methods";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";

const [address, tenant, secrets] = [process.argv[2], process.argv[3], JSON.parse(process.argv[4])];

// Escapes, white space and a number that a parser would write in another way: what is signed is the bytes.
const text = '"text" : "caf\\u00e9 \\/ \\ud83d\\ude80",\r\n\t"amount" : 1.0';
const body = `{ ${text} }\n`;
const event = `{ "id": "evt_1", ${text} }\n`;

const now = new Date();
const messages = {
  standardwebhooks: [
    body,
    {
      "webhook-id": "msg_1",
      "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
      "webhook-signature": new Webhook(secrets.standard).sign("msg_1", now, body),
    },
  ],
  octokit: [body, { "X-GitHub-Delivery": "delivery-1", "X-Hub-Signature-256": await sign(secrets.github, body) }],
  stripe: [
    event,
    { "Stripe-Signature": Stripe.webhooks.generateTestHeaderString({ payload: event, secret: secrets.stripe }) },
  ],
};

async function send(body, headers) {
  const url = `http://${address}/v1/webhooks/${tenant}/events/new`;
  const answer = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body });
  return answer.status;
}

const answers = {};
for (const [name, [body, headers]] of Object.entries(messages)) {
  answers[name] = [await send(body, headers), await send(body, headers), await send(body.replace("1.0", "1"), headers)];
}
console.log(JSON.stringify(answers));
