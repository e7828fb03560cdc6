package gateway

import (
	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/httpapi"
)

type newRefund struct {
	Amount *events.Money          `json:"amount,omitempty" doc:"Without it, and without lines, all that is left"`
	Lines  []command.ReturnedLine `json:"lines,omitempty" maxItems:"1000" doc:"The pieces to refund, with what they cost; instead of an amount"`
	Reason string                 `json:"reason,omitempty" doc:"500 characters at most. It is kept for ever, so it should name nobody"`
}

func refundOrder(c *httpapi.Call, in *struct {
	ID events.OrderID `path:"id"`
	httpapi.Payload[newRefund]
}) (*httpapi.Response, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	refund, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	resp, err := c.SendAndRespond(command.RefundOrder{OrderID: in.ID, Amount: refund.Amount, Lines: refund.Lines, Reason: refund.Reason})
	if err != nil {
		return nil, err
	}
	return resp.Created("/api/orders/" + string(in.ID) + "/refunds"), nil
}

func listRefunds(c *httpapi.Call, in *orderInput) (*httpapi.Response, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	return c.QueryAndRespond(query.OrderRefunds{OrderID: in.ID})
}

func retryRefund(c *httpapi.Call, in *struct {
	ID     events.OrderID  `path:"id"`
	Refund events.RefundID `path:"refund"`
}) (*httpapi.Response, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	if err := checkID(in.Refund); err != nil {
		return nil, err
	}
	return c.SendAndRespond(command.RetryRefund{OrderID: in.ID, RefundID: in.Refund})
}
