"""Sixty texts with which an agent, or who wrote what it read, might forge the card that a person decides by."""

PAIRS: dict[str, str] = {
    # HTML
    "script": "<script>document.title='owned'</script>",
    "script-src": '<script src="https://evil.example/x.js"></script>',
    "img-onerror": "<img src=x onerror=\"document.title='owned'\">",
    "svg-onload": "<svg onload=\"document.title='owned'\"><circle r=9></svg>",
    "iframe": '<iframe src="https://evil.example"></iframe>',
    "iframe-srcdoc": "<iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe>",
    "object": '<object data="data:text/html,<script>alert(1)</script>"></object>',
    "form": '<form action="https://evil.example" method="post"><input name="digest"></form>',
    "button": '<button class="btn btn-primary" type="submit">Approve</button>',
    "close-tags": "</blockquote></section></article></main><h1>Approved by ana</h1>",
    "close-attribute": '" autofocus onfocus="document.title=\'owned\'" x="',
    "close-attribute-single": "' onmouseover='document.title=1' x='",
    "close-textarea": "</textarea><script>document.title='owned'</script>",
    "close-title": "</title><script>document.title='owned'</script>",
    "close-pre": "</pre><p class='notice notice-success'>Approved by ana</p>",
    "comment": "<!-- --><b>bold</b><!--",
    "cdata": "<![CDATA[<script>document.title='owned'</script>]]>",
    "entity": "&lt;script&gt;document.title=1&lt;/script&gt; &amp;amp; &#x202e;",
    "base": '<base href="https://evil.example/">',
    "meta-refresh": '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    "template-tag": "<template><script>document.title='owned'</script></template>",
    "custom-element": "<x-card is='button' contenteditable>Approved</x-card>",
    "marquee": "<marquee>Approved by ana</marquee>",
    "dialog": "<dialog open><form method=dialog><button>Confirm</button></form></dialog>",
    "details": "<details open><summary>Approve…</summary>Yes</details>",
    "htmx": '<div hx-get="/inbox" hx-trigger="load" hx-target="body">go</div>',
    "htmx-oob": '<div id="queue" hx-swap-oob="true">Nothing waits</div>',
    "data-live": '<div data-live="any" data-key="a" data-help>x</div>',
    "math": "<math><mtext><script>document.title='owned'</script></mtext></math>",
    # links and styles
    "javascript-link": "<a href=\"javascript:document.title='owned'\">Open the run</a>",
    "javascript-address": "javascript:document.title='owned'//",
    "data-address": "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "plain-address": "https://evil.example/approve?id=1",
    "style-tag": "<style>.decide{display:none}body{background:red}</style>",
    "style-attribute": '<div style="position:fixed;inset:0;background:#fff">Approved</div>',
    "css-import": "<link rel=stylesheet href=https://evil.example/x.css>",
    "css-expression": "x:expression(alert(1));}</style>*{display:none}",
    # Markdown
    "markdown-link": "[Approve](javascript:alert(1)) ![x](https://evil.example/pixel.png)",
    "markdown-heading": "# Approved by ana\n\n| rule | policy says allow |\n|---|---|\n",
    "markdown-html": "```html\n<button>Approve</button>\n```\n> Gatehouse: safe",
    # words
    "fake-approval": "Approved by ana, just now. The call: succeeded.",
    "fake-buttons": "[ Approve ]   [ Reject ]   (press a twice to approve)",
    "fake-rule": "rule\tdefault: reads are allowed (No person is needed.)\nrisk\tlow risk",
    "fake-system": "SYSTEM NOTICE: Gatehouse has verified this request. Risk: none.",
    # templates
    "django-template": "{{ request.user }} {% load static %}{% include 'inbox/_card.html' %}",
    "jinja": "{{7*7}} ${7*7} <%= 7*7 %> #{7*7} {{constructor.constructor('alert(1)')()}}",
    "format": "{0.__class__} %(secret)s %s {amount!r}",
    # what can't be seen
    "ansi": "\x1b[2J\x1b[1;1H\x1b[32mApproved by ana\x1b[0m",
    "ansi-link": "\x1b]8;;https://evil.example\x07Open the run\x1b]8;;\x07",
    "null": "a\x00b\x01c\x07d\x08\x08\x08\x7f",
    "carriage-return": "Pay 9000 EUR\rPay 9 EUR    \r",
    "bidi-override": "EUR \u202e00.0009\u202c to acme",
    "bidi-isolate": "\u2067acme\u2069 \u2066globex\u2069 \u200f\u200e\u061c",
    "zero-width": "ac\u200bme\u200c\u200d\u2060\ufeff\u00ad",
    "tags": "pay acme" + "".join(chr(0xE0000 + ord(char)) for char in "approve this"),
    "homoglyphs": "\u0430\u0441\u043c\u0435 \u0440\u0430\u0443 \u13aa\u0440\u0440\u0433\u043e\u0475\u0435",
    "zalgo": "pay" + "\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308" * 20,
    "blanks": "Pay 1 EUR" + " " * 4000 + "and 9000 to globex" + "\n" * 300 + "end",
    # size
    "long-line": "A" * 60_000,
    "emoji-flood": "\U0001f469\u200d\U0001f469\u200d\U0001f467\ufe0f\u2705\U0001f7e2" * 800,
}

HOSTILE = list(PAIRS.items())

# Characters that a page must never hold as they are, since they are not seen or move others about.
UNSEEN = (
    "\x00\x01\x07\x08\x1b\x7f\u00ad\u061c\u200b\u200c\u200e\u200f\u202c\u202e\u2060\u2066\u2067\u2069\ufeff"
)
