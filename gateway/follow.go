package gateway

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/httpapi"
	"lonja/kit/httpapi/follow"
)

// orderChanges listens for what orders announces of its orders, for those who
// follow one and those who wait for one.
func orderChanges(c Config) (*follow.Changes, error) {
	return follow.New(follow.Config{Client: c.Client, Service: "orders", Stream: "ORDERS", Events: statusEvents,
		MaxFollowers: c.MaxFollowers, MaxWaiting: c.MaxWaiting, Following: "following orders", Waiting: "waiting for their orders",
		Namespace: name, Registry: c.Registry})
}

// followOrder sends an order's statuses as they happen, until it is delivered or
// cancelled.
func (g *gateway) followOrder(c *httpapi.Call) error {
	id := events.OrderID(strings.Clone(c.Request.PathValue("id"))) // it outlives the request
	if err := known(id); err != nil {
		return err
	}
	return g.orders.Follow(c, string(id), func(after uint64) httpapi.Query { return query.OrderStatuses{OrderID: id, After: after} })
}

// statusEvents are an order's changes of status as its followers see them.
func statusEvents(answer json.RawMessage) ([]follow.Event, error) {
	var changes []query.StatusChange
	if err := json.Unmarshal(answer, &changes); err != nil {
		return nil, err
	}
	all := make([]follow.Event, len(changes))
	for i, change := range changes {
		all[i] = follow.Event{ID: change.Sequence, Name: "status", Data: status{change.Status, change.Time},
			Last: change.Status == query.Delivered || change.Status == query.Cancelled}
	}
	return all, nil
}

type status struct {
	Status string    `json:"status"`
	Time   time.Time `json:"time"`
}

// A browser's EventSource sends no Authorization. It is given a URL with a ticket
// instead: signed by identity, good for one order's stream, as the customer who
// asked for it, for a minute to connect. So every gateway can verify it, and the
// access token stands in no URL.

// streamURL is where an order can be followed without an access token.
type streamURL struct {
	URL       string `json:"url" doc:"For new EventSource(url). It follows this order only, as you"`
	ExpiresIn int64  `json:"expires_in" doc:"Seconds within which it must be opened"`
}

func giveTicket(c *httpapi.Call, in *orderInput) (*httpapi.Answer, error) {
	if err := known(in.ID); err != nil {
		return nil, err
	}
	// Who may not see the order hears so here already.
	if _, err := c.Query(c.Request.Context(), query.OrderStatuses{OrderID: in.ID}); err != nil {
		return nil, err
	}
	body, err := c.Query(c.Request.Context(), query.StreamTicket{OrderID: in.ID, Until: c.Expires.Unix()})
	if err != nil {
		return nil, err
	}
	var t query.Ticket
	if err := json.Unmarshal(body, &t); err != nil {
		return nil, err
	}
	a, err := httpapi.AnsweringJSON(streamURL{c.Origin() + "/api/orders/" + string(in.ID) + "/stream?ticket=" + url.QueryEscape(t.Ticket), t.ExpiresIn})
	if err != nil {
		return nil, err
	}
	return a.Created(""), nil
}
