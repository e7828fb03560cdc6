package gateway

import (
	"lonja/events"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/httpapi"
	"lonja/kit/httpapi/follow"
)

var (
	staffOnly = httpapi.OnlyFor("Staff", events.StaffRoles...)
	adminOnly = httpapi.OnlyFor("Administrators", events.Admin)
)

// routes adds all routes of the gateway. The OpenAPI description is made from them.
func (g *gateway) routes(api *httpapi.API) {
	api.Add("accounts",
		httpapi.JSON("POST /api/auth/register", "Register", register, httpapi.Idempotent, httpapi.RateLimited,
			httpapi.About("409 if the address has an account already. 404 if the Idempotency-Key belongs to the registration of an account that was erased."),
			httpapi.Returns[query.Tokens](201), httpapi.Fails(404, 409)),
		httpapi.JSON("POST /api/auth/login", "Log in", logIn, httpapi.RateLimited, httpapi.Returns[query.Tokens](200), httpapi.Fails(401)),
		httpapi.JSON("POST /api/auth/refresh", "Refresh a session", refresh, httpapi.RateLimited, httpapi.Returns[query.Tokens](200), httpapi.Fails(401)),
		httpapi.JSON("POST /api/auth/logout", "Log out", logOut, httpapi.RateLimited, httpapi.Fails(401)),
		httpapi.JSON("GET /api/auth/verify", "Verify an access token", verify, httpapi.SignedIn, httpapi.Returns[verified](200)),
		httpapi.JSON("GET /.well-known/jwks.json", "Read the keys of access tokens", g.keys, httpapi.ReturnsToken, httpapi.Returns[query.Keyset](200)),
		httpapi.JSON("GET /api/users", "List users", listUsers, adminOnly, httpapi.Returns[query.List[query.UserView]](200)),
		httpapi.JSON("GET /api/users/{id}", "Read an account", readUser, httpapi.SignedIn, httpapi.About("One's own, or anybody's for administrators."),
			httpapi.Returns[query.UserView](200), httpapi.Fails(404)),
		httpapi.JSON("PATCH /api/users/{id}", "Change a profile", changeProfile, httpapi.SignedIn, httpapi.Idempotent,
			httpapi.About("Only one's own."), httpapi.Returns[query.UserView](200), httpapi.Fails(403, 404)),
		httpapi.JSON("PUT /api/users/{id}/email", "Change an account's email address", changeEmail, httpapi.SignedIn, httpapi.Idempotent, httpapi.RateLimited,
			httpapi.About("Users need their password, administrators only for their own account. From then on, the user logs in with the new address. The one before can be registered again, by anybody. 409 if the new one has an account already."),
			httpapi.Returns[query.UserView](200), httpapi.Fails(403, 404, 409)),
		httpapi.JSON("GET /api/users/{id}/export", "Export what is kept on a person", g.exportUser, httpapi.SignedIn,
			httpapi.About("One document with all that the shop keeps on a person: for themselves, and for administrators. The account's history has earlier names and addresses, too. "+
				"What happened to an order is at `/api/orders/{id}/timeline`, and its receipt at `/api/orders/{id}/receipt`. The document is complete: 503 if one of the services cannot be asked. "+
				"If that happens to a large document after it has begun, the connection breaks off."),
			httpapi.Header("Content-Disposition", "The document is a file, named after the user's id"), httpapi.Returns[userExport](200), httpapi.Fails(404)),
		httpapi.JSON("DELETE /api/users/{id}", "Erase an account", eraseUser, httpapi.SignedIn, httpapi.Idempotent, httpapi.RateLimited,
			httpapi.About("Nothing that identifies the person can be read afterwards, and it does not come back. Their orders stay, under an id that nobody can trace. "+
				"Users need their password, in the body; administrators erase others without. An administrator cannot erase themselves (409). "+
				"The user's sessions end and their access tokens are revoked, so a user who repeats the request gets 401. Their address can be registered again."),
			httpapi.Fails(403, 404, 409)),
		httpapi.JSON("PUT /api/users/{id}/roles", "Set a user's roles", setRoles, adminOnly, httpapi.Returns[query.UserView](200), httpapi.Fails(404, 409)),
	)
	api.Add("products",
		httpapi.JSON("POST /api/products", "Create a product", createProduct, httpapi.Deferrable, staffOnly, httpapi.Idempotent, httpapi.Header("Location", "Where the product is"),
			httpapi.Returns[query.ProductView](201), httpapi.Fails(409)),
		httpapi.JSON("GET /api/products", "List products", listProducts, httpapi.Returns[query.List[query.ProductView]](200)),
		httpapi.JSON("GET /api/products/{sku}", "Read a product", readProduct, httpapi.Returns[query.ProductView](200), httpapi.Fails(404)),
		httpapi.JSON("PATCH /api/products/{sku}", "Change a product", changeProduct, httpapi.Deferrable, staffOnly, httpapi.Returns[query.ProductView](200), httpapi.Fails(404, 409)),
		httpapi.JSON("DELETE /api/products/{sku}", "Archive a product", archiveProduct, httpapi.Deferrable, staffOnly,
			httpapi.About("The product is no longer listed or orderable, but can still be read. PATCH with available: true restores it."), httpapi.Fails(404)),
	)
	api.Add("stock",
		httpapi.JSON("GET /api/products/{sku}/stock", "Read the stock of a product", readStock, httpapi.Returns[query.StockView](200), httpapi.Fails(404)),
		httpapi.JSON("PUT /api/products/{sku}/stock", "Set the stock of a product", countStock, httpapi.Deferrable, staffOnly,
			httpapi.About("The product must be in the catalogue; it may be archived."), httpapi.Returns[query.StockView](200), httpapi.Fails(404, 409)),
		httpapi.JSON("POST /api/products/{sku}/stock/adjustments", "Adjust the stock of a product", adjustStock, httpapi.Deferrable, staffOnly, httpapi.Idempotent,
			httpapi.Returns[query.StockView](200), httpapi.Fails(404, 409)),
	)
	api.Add("orders",
		httpapi.JSON("POST /api/orders", "Place an order", g.placeOrder, httpapi.Deferrable,
			httpapi.About("Prices are the catalogue's; an order with an item whose unit_price differs is rejected. Stock is reserved a moment later: the order then awaits its payment, is paid if it costs nothing, or is cancelled."),
			httpapi.SignedIn, httpapi.Idempotent, httpapi.Header("Location", "The order's path"),
			follow.Waits("With wait=N the response comes when the order has a payment URL, is paid because it costs nothing, or is cancelled; after N seconds at the latest, 30 at most. 503 when too many requests are waiting already; then no order was placed"),
			httpapi.Returns[query.OrderView](201), httpapi.Fails(403, 409)),
		httpapi.JSON("GET /api/orders", "List orders", listOrders, httpapi.SignedIn, httpapi.Returns[query.List[query.OrderView]](200)),
		httpapi.JSON("GET /api/orders/{id}", "Read an order", readOrder, httpapi.SignedIn, httpapi.Returns[query.OrderView](200), httpapi.Fails(404)),
		httpapi.JSON("PATCH /api/orders/{id}", "Change an order's status", changeStatus, httpapi.Deferrable, httpapi.SignedIn, httpapi.Returns[query.OrderView](200), httpapi.Fails(403, 404, 409)),
		httpapi.JSON("POST /api/orders/{id}/payments", "Try to pay for an order again", g.retryPayment, httpapi.SignedIn, httpapi.Idempotent,
			httpapi.About("One more attempt to pay, after one that failed or instead of one, with the same provider or another. The goods stay reserved until the payment's deadline. "+
				"409 if there is nothing to pay any more, or not yet."),
			httpapi.Header("Location", "The order's path"),
			follow.Waits("With wait=N the response comes when the order has a payment URL, or there is nothing to pay any more; after N seconds at the latest, 30 at most. 503 when too many requests are waiting already; then nothing was done"),
			httpapi.Returns[query.OrderView](201), httpapi.Fails(404, 409)),
		httpapi.JSON("POST /api/orders/{id}/refunds", "Refund an order in part or the rest", refundOrder, httpapi.Deferrable, staffOnly, httpapi.Idempotent,
			httpapi.About("Refunds an amount, or what some pieces cost, or all that is left. Pieces with restock: true go back into stock. The order must be paid, shipped or delivered: a cancellation refunds the rest by itself. "+
				"409 above what is left, however many refund at once. The provider gives the money back a moment later; see the refund's status. "+
				"What failed there can be refunded again, or tried again at `/api/orders/{id}/refunds/{refund}/retry`; its pieces went into stock all the same."),
			httpapi.Header("Location", "The path of the order's refunds"), httpapi.Returns[query.RefundView](201), httpapi.Fails(403, 404, 409)),
		httpapi.JSON("GET /api/orders/{id}/refunds", "List an order's refunds", listRefunds, httpapi.SignedIn,
			httpapi.About("Oldest first, with those of a cancellation or of money that came too late. Why one failed is for staff."),
			httpapi.Returns[[]query.RefundView](200), httpapi.Fails(404)),
		httpapi.JSON("POST /api/orders/{id}/refunds/{refund}/retry", "Try a refund again that failed", retryRefund, httpapi.Deferrable, staffOnly, httpapi.Idempotent,
			httpapi.About("409 unless it has failed and its amount is still left."),
			httpapi.Returns[query.RefundView](200), httpapi.Fails(403, 404, 409)),
		httpapi.JSON("GET /api/orders/{id}/timeline", "Read an order's timeline", readTimeline, httpapi.SignedIn, httpapi.Returns[[]query.TimelineEntry](200), httpapi.Fails(404)),
		httpapi.Page("GET /api/orders/{id}/receipt", "Read an order's receipt", g.showReceipt,
			httpapi.About("For the order's owner and staff. Receipts are numbered without a gap, and each refund of an order has a credit note, which are numbered so, too. "+
				"A browser gets a page to print, in English or Spanish, and a request with `Accept: application/json` the same as JSON. 404 until the order is paid."),
			httpapi.SignedIn, httpapi.Returns[query.ReceiptView](200), httpapi.ReturnsText("text/html"), httpapi.Fails(404)),
		httpapi.Page("GET /api/orders/{id}/stream", "Follow an order's status", g.followOrder,
			httpapi.About("Server-sent events, one for each status, until the order is delivered or cancelled, or the access token expires or is revoked."),
			httpapi.SignedIn, httpapi.OrTicket("id"), follow.Streams("The order is delivered or cancelled, and the client has received that status: no event will follow"), httpapi.Fails(404)),
		httpapi.JSON("POST /api/orders/{id}/stream/tickets", "Ask for a URL to follow an order with", createStreamURL,
			httpapi.About("For a browser's EventSource, which cannot send an access token. "+
				"It reconnects with the same URL. Once the URL has expired, the response is 401 and the EventSource closes (readyState CLOSED); request a new URL then. The response is 204 once the order is delivered or cancelled."),
			httpapi.SignedIn, httpapi.Returns[streamURL](201), httpapi.Fails(404)),
	)
	api.Add("payments",
		httpapi.JSON("GET /api/payments", "List payments that need attention", listFlagged, staffOnly,
			httpapi.About("What a provider reported that does not fit to what was requested, or what it did not do: a person has to look, here and at the provider."),
			httpapi.Returns[query.List[query.PaymentFlag]](200)),
	)
	if len(g.StripeSecrets) > 0 {
		api.Add("payments",
			httpapi.Page("POST /webhooks/stripe", "Take a report of Stripe", g.takeStripeReport, stripeBody,
				httpapi.About("For Stripe only. 400 if the signature is not Stripe's, 503 if the report could not be stored. A report that is sent again changes nothing."),
				httpapi.Returns[struct{}](200), httpapi.Fails(413)),
		)
	}
	if g.Sandbox {
		api.Add("sandbox",
			httpapi.Page("GET /sandbox/payments/{id}", "Show the sandbox provider's page", showPayment, httpapi.AfterQuery,
				httpapi.Returns[query.PaymentView](200), httpapi.ReturnsText("text/html"), httpapi.Fails(404)),
			httpapi.Page("POST /sandbox/payments/{id}", "Pay or decline in the sandbox", settlePayment, httpapi.Accepts[settlement], httpapi.AcceptsForm, httpapi.ReturnsToken,
				httpapi.Returns[query.PaymentView](200), httpapi.Redirects("The answer to a form: the page shows the outcome"), httpapi.Fails(403, 404), httpapi.FailsWithPage(409)),
		)
	}
	api.Add("operations",
		httpapi.Outcomes("GET /api/commands/{id}", "Read what became of a command that was left for later", events.StaffRoles...),
		httpapi.JSON("GET /api/deadletters", "List the messages that could not be handled", g.listDeadLetters, staffOnly, httpapi.Returns[query.List[bus.DeadLetter]](200)),
		httpapi.JSON("GET /api/deadletters/{id}", "Read a dead letter", g.readDeadLetter, staffOnly, httpapi.Returns[bus.DeadLetter](200), httpapi.Fails(404)),
		httpapi.JSON("POST /api/deadletters/{id}/retry", "Give a dead letter back to whoever failed", g.retryDeadLetter, staffOnly, httpapi.Returns[retried](200), httpapi.Fails(404, 409)),
		httpapi.JSON("DELETE /api/deadletters/{id}", "Drop a dead letter", g.dropDeadLetter, staffOnly, httpapi.Fails(404)),

		httpapi.Alive("GET /healthz", "Tell whether the gateway is alive"),
		httpapi.Ready("GET /readyz", "Tell whether the shop is ready", g.Services, g.Store),
		httpapi.Serving("GET /readyz/gateway", "Tell whether this gateway can serve",
			httpapi.About("For a load balancer's probe: whether the gateway is connected and not stopping, whatever the state of the services.")),
		httpapi.Metrics("GET /metrics", "Read the metrics"),
	)
}
