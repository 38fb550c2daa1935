/** The hub's API, as the tests use it beside the page. */

export class Api {
  constructor(base, token) {
    this.base = base;
    this.token = token;
  }

  static async signIn(base, password, username = "admin") {
    const response = await fetch(`${base}/auth/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ username, password }),
    });
    if (!response.ok) throw new Error(`sign-in: ${response.status} ${await response.text()}`);
    return new Api(base, (await response.json()).access_token);
  }

  async call(method, path, body) {
    const response = await fetch(this.base + path, {
      method,
      headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  }

  event(type, data = {}, extra = {}) {
    return this.call("POST", "/events", { type, source: "browser-test", data, ...extra });
  }

  events(list) {
    return this.call("POST", "/events/batch", list);
  }
}
