package gateway

import (
	"encoding/json"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/httpapi"
)

// newOrder is the command itself; the type's name is that of the schema in the description.
type newOrder command.PlaceOrder

func (g *gateway) placeOrder(c *httpapi.Call, in *struct{ httpapi.Payload[newOrder] }) (*httpapi.Response, error) {
	order, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	// Acquire the place first: no order is placed for a client that then cannot wait.
	wait, err := g.orders.Wait(c)
	if err != nil {
		return nil, err
	}
	defer wait.Release()
	reply, err := c.Send(command.PlaceOrder(order), c.CommandID)
	if err != nil {
		return nil, err
	}
	resp := c.ResponseTo(reply).Created("/api/orders/" + reply.EntityID)
	wait.Await(reply.EntityID, query.Order{OrderID: events.OrderID(reply.EntityID), Origin: c.Origin()}, settled, resp)
	return resp, nil
}

// settled reports whether an order is in the state that Prefer: wait waits for.
func settled(body []byte) bool {
	var o struct {
		Status  string `json:"status"`
		Payment *struct {
			URL string `json:"url"`
		} `json:"payment"`
	}
	return json.Unmarshal(body, &o) == nil && query.Settled(o.Status, o.Payment != nil && o.Payment.URL != "")
}

func listOrders(c *httpapi.Call, in *struct {
	Status string `query:"status" enum:"placed,awaiting_payment,paid,shipped,delivered,cancelled"`
	Paging
}) (*httpapi.Response, error) {
	return c.QueryAndRespond(query.Orders{Status: in.Status, Origin: c.Origin(), Page: in.page()})
}

type orderInput struct {
	ID events.OrderID `path:"id"`
}

func readOrder(c *httpapi.Call, in *orderInput) (*httpapi.Response, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	return c.QueryAndRespond(query.Order{OrderID: in.ID, Origin: c.Origin()})
}

type orderMove struct {
	Status string `json:"status" enum:"cancelled,shipped,delivered" doc:"A paid order can be shipped once its stock is committed, a moment after the payment; before that, shipping is 409"`
}

func changeStatus(c *httpapi.Call, in *struct {
	ID events.OrderID `path:"id"`
	httpapi.Payload[orderMove]
}) (*httpapi.Response, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	move, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	moves := map[string]command.Command{
		query.Cancelled: command.CancelOrder{OrderID: in.ID},
		query.Shipped:   command.ShipOrder{OrderID: in.ID},
		query.Delivered: command.DeliverOrder{OrderID: in.ID},
	}
	resp, err := c.SendAndRespond(moves[move.Status])
	if err != nil {
		return nil, err
	}
	// The command's reply lacks the payment, so the order is read from the view. If that
	// fails, the reply is still correct.
	if order, err := c.QueryAndRespond(query.Order{OrderID: in.ID, Origin: c.Origin()}); err == nil {
		resp.Body, resp.ConsistencyToken = order.Body, order.ConsistencyToken
	}
	return resp, nil
}

func readTimeline(c *httpapi.Call, in *orderInput) (*httpapi.Response, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	return c.QueryAndRespond(query.OrderTimeline{OrderID: in.ID})
}
