package gateway

import (
	"encoding/json"
	"net/http"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
)

type newOrder struct {
	Items []orderLine `json:"items" minItems:"1" maxItems:"1000"`
}

type orderLine struct {
	SKU       events.SKU    `json:"sku"`
	Quantity  int64         `json:"quantity" minimum:"1" maximum:"1000000000"`
	UnitPrice *events.Money `json:"unit_price,omitempty" doc:"The price that the customer has seen; when it is another one by now, the order is refused with 409"`
}

func placeOrder(c *call, in *struct{ payload[newOrder] }) (*answer, error) {
	wanted, err := in.decode(c)
	if err != nil {
		return nil, err
	}
	items := make([]command.OrderLine, len(wanted.Items))
	for i, line := range wanted.Items {
		items[i] = command.OrderLine(line)
	}
	// Nothing is ordered by whoever then cannot wait as they command.
	wait := preferredWait(c.r.Header)
	if wait > 0 {
		leave, err := c.waiting.take()
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	reply, err := c.send(command.PlaceOrder{Items: items}, c.id)
	if err != nil {
		return nil, err
	}
	a := c.did(reply)
	a.Status, a.Location = http.StatusCreated, "/api/orders/"+reply.EntityID
	if wait > 0 {
		if body := c.awaitOrder(events.OrderID(reply.EntityID), wait); body != nil {
			a.Body, a.Seen = body, c.seen.String()
		}
		a.Preference = "wait=" + seconds(wait)
	}
	return a, nil
}

// awaitOrder is an order once it is settled, or as it is when the time is over or
// the gateway stops. It is nil when orders cannot tell: the order is placed all
// the same, and its receipt is answer enough.
func (c *call) awaitOrder(id events.OrderID, wait time.Duration) (latest []byte) {
	w := c.changes.watch(string(id))
	defer c.changes.unwatch(w)
	ctx, cancel := c.untilStopping()
	defer cancel()
	over, again := time.After(wait), time.NewTicker(lookAgainSoon)
	defer again.Stop()
	for {
		body, err := c.query(ctx, query.Order{OrderID: id, Origin: c.origin()})
		if err != nil {
			return latest
		}
		if latest = body; settled(body) {
			return latest
		}
		select {
		case news := <-w.news:
			c.seen = seen(c.seen, news.String())
		case <-again.C:
		case <-over:
			return latest
		case <-ctx.Done():
			return latest
		}
	}
}

// settled reports whether an order's answer is what a customer waits for.
func settled(body []byte) bool {
	var o struct {
		Status  string    `json:"status"`
		Payment *struct{} `json:"payment"`
	}
	return json.Unmarshal(body, &o) == nil && query.Settled(o.Status, o.Payment != nil)
}

func listOrders(c *call, in *struct {
	Status string `query:"status" enum:"placed,awaiting_payment,paid,shipped,delivered,cancelled"`
	Paging
}) (*answer, error) {
	return c.ask(query.Orders{Status: in.Status, Origin: c.origin(), Page: in.page()})
}

type orderInput struct {
	ID events.OrderID `path:"id"`
}

func readOrder(c *call, in *orderInput) (*answer, error) {
	if err := known(in.ID); err != nil {
		return nil, err
	}
	return c.ask(query.Order{OrderID: in.ID, Origin: c.origin()})
}

type orderMove struct {
	Status string `json:"status" enum:"cancelled,shipped,delivered" doc:"A paid order can be shipped once its goods are taken off the shelves for it, which is a moment later; before, that is 409"`
}

func moveOrder(c *call, in *struct {
	ID events.OrderID `path:"id"`
	payload[orderMove]
}) (*answer, error) {
	if err := known(in.ID); err != nil {
		return nil, err
	}
	move, err := in.decode(c)
	if err != nil {
		return nil, err
	}
	moves := map[string]command.Command{
		query.Cancelled: command.CancelOrder{OrderID: in.ID},
		query.Shipped:   command.ShipOrder{OrderID: in.ID},
		query.Delivered: command.DeliverOrder{OrderID: in.ID},
	}
	a, err := c.do(moves[move.Status])
	if err != nil {
		return nil, err
	}
	// The receipt knows nothing of the payment. It is still the truth, should
	// the view be away.
	if order, err := c.ask(query.Order{OrderID: in.ID, Origin: c.origin()}); err == nil {
		a.Body, a.Seen = order.Body, order.Seen
	}
	return a, nil
}

func readTimeline(c *call, in *orderInput) (*answer, error) {
	if err := known(in.ID); err != nil {
		return nil, err
	}
	return c.ask(query.OrderTimeline{OrderID: in.ID})
}
