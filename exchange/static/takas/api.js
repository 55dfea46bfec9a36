// The public REST API with the page's session. A refusal is an ApiError with its stable code.

const TIMEOUT_MS = 10_000;

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
    this.code = problem.code || "";
    this.errors = problem.errors || [];
  }
}

export async function call(method, path, body) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["X-CSRFToken"] = document.body.dataset.csrf;
  let response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    const unknown = method !== "GET" ? " It may or may not have been taken: look at your orders." : "";
    throw new ApiError(0, { code: "network", detail: `No answer from the exchange.${unknown}` });
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 401) signInAgain();
  throw new ApiError(response.status, answer);
}

const SIGN_IN_AGAIN_MS = 30_000;

// Opens the sign-in page after the session has ended: once in SIGN_IN_AGAIN_MS at most, as that page
// may send the browser straight back.
export function signInAgain() {
  const last = Number(sessionStorage.getItem("takas.signInAgain") || 0);
  if (Date.now() - last < SIGN_IN_AGAIN_MS) return;
  sessionStorage.setItem("takas.signInAgain", String(Date.now()));
  location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
}

export const get = (path) => call("GET", path);
export const post = (path, body) => call("POST", path, body);
export const patch = (path, body) => call("PATCH", path, body);
export const remove = (path) => call("DELETE", path);
