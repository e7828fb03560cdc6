package gateway

import (
	"encoding/json"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/httpapi"
)

// newOrder is the command itself; its name is the one of the description.
type newOrder command.PlaceOrder

func (g *gateway) placeOrder(c *httpapi.Call, in *struct{ httpapi.Payload[newOrder] }) (*httpapi.Answer, error) {
	wanted, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	// Nothing is ordered by whoever then cannot wait as they command.
	wait, err := g.orders.Wait(c)
	if err != nil {
		return nil, err
	}
	defer wait.Done()
	reply, err := c.Send(command.PlaceOrder(wanted), c.ID)
	if err != nil {
		return nil, err
	}
	a := c.Did(reply).Created("/api/orders/" + reply.EntityID)
	wait.For(reply.EntityID, query.Order{OrderID: events.OrderID(reply.EntityID), Origin: c.Origin()}, settled, a)
	return a, nil
}

// settled reports whether an order's answer is what a customer waits for.
func settled(body []byte) bool {
	var o struct {
		Status  string    `json:"status"`
		Payment *struct{} `json:"payment"`
	}
	return json.Unmarshal(body, &o) == nil && query.Settled(o.Status, o.Payment != nil)
}

func listOrders(c *httpapi.Call, in *struct {
	Status string `query:"status" enum:"placed,awaiting_payment,paid,shipped,delivered,cancelled"`
	Paging
}) (*httpapi.Answer, error) {
	return c.Ask(query.Orders{Status: in.Status, Origin: c.Origin(), Page: in.page()})
}

type orderInput struct {
	ID events.OrderID `path:"id"`
}

func readOrder(c *httpapi.Call, in *orderInput) (*httpapi.Answer, error) {
	if err := known(in.ID); err != nil {
		return nil, err
	}
	return c.Ask(query.Order{OrderID: in.ID, Origin: c.Origin()})
}

type orderMove struct {
	Status string `json:"status" enum:"cancelled,shipped,delivered" doc:"A paid order can be shipped once its goods are taken off the shelves for it, which is a moment later; before, that is 409"`
}

func moveOrder(c *httpapi.Call, in *struct {
	ID events.OrderID `path:"id"`
	httpapi.Payload[orderMove]
}) (*httpapi.Answer, error) {
	if err := known(in.ID); err != nil {
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
	a, err := c.Do(moves[move.Status])
	if err != nil {
		return nil, err
	}
	// The receipt knows nothing of the payment. It is still the truth, should
	// the view be away.
	if order, err := c.Ask(query.Order{OrderID: in.ID, Origin: c.Origin()}); err == nil {
		a.Body, a.Seen = order.Body, order.Seen
	}
	return a, nil
}

func readTimeline(c *httpapi.Call, in *orderInput) (*httpapi.Answer, error) {
	if err := known(in.ID); err != nil {
		return nil, err
	}
	return c.Ask(query.OrderTimeline{OrderID: in.ID})
}
