package gateway

import (
	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/httpapi"
)

// newAttempt is one more attempt to pay for an order.
type newAttempt struct {
	Provider string `json:"provider,omitempty" maxLength:"50" doc:"Who takes the money, such as stripe; without it, whoever was to take it before"`
}

// retryPayment asks orders first: payments does not know whose an order is.
func (g *gateway) retryPayment(c *httpapi.Call, in *struct {
	ID events.OrderID `path:"id"`
	httpapi.OptionalPayload[newAttempt]
}) (*httpapi.Response, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	attempt, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	order := query.Order{OrderID: in.ID, Origin: c.Origin()}
	if _, err := c.QueryAndRespond(order); err != nil {
		return nil, err
	}
	wait, err := g.orders.Wait(c)
	if err != nil {
		return nil, err
	}
	defer wait.Release()
	reply, err := c.Send(command.RetryPayment{PaymentID: events.PaymentFor(in.ID), Provider: attempt.Provider}, c.CommandID)
	if err != nil {
		return nil, err
	}
	resp := c.ResponseTo(reply)
	shown, err := c.QueryAndRespond(order)
	if err != nil {
		return nil, err // the attempt is recorded, and the same key leads to it
	}
	resp.Body, resp.ConsistencyToken = shown.Body, shown.ConsistencyToken
	resp = resp.Created("/api/orders/" + string(in.ID))
	wait.Await(string(in.ID), order, settled, resp)
	return resp, nil
}

// listFlagged lists the payments that need a person's attention. There is no list of all.
func listFlagged(c *httpapi.Call, in *struct {
	Attention bool `query:"attention" required:"true" doc:"Must be true: only payments that need a person's attention are listed"`
	Paging
}) (*httpapi.Response, error) {
	if !in.Attention {
		return nil, errs.InvalidField("attention", "must be true: only payments that need a person's attention are listed")
	}
	return c.QueryAndRespond(query.FlaggedPayments{Page: in.page()})
}
