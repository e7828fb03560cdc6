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

// orderChanges subscribes to the changes that the service orders announces, for requests
// that follow an order or wait for one.
func orderChanges(c Config) (*follow.Changes, error) {
	return follow.New(follow.Config{Client: c.Client, Service: "orders", Stream: "ORDERS", Events: statusEvents,
		MaxFollowers: c.MaxFollowers, MaxWaiting: c.MaxWaiting, Following: "following orders", Waiting: "waiting for their orders",
		Namespace: name, Registry: c.Registry})
}

// followOrder streams an order's statuses until it is delivered or cancelled.
func (g *gateway) followOrder(c *httpapi.Call) error {
	id := events.OrderID(strings.Clone(c.Request.PathValue("id"))) // keeps the request out of memory
	if err := checkID(id); err != nil {
		return err
	}
	return g.orders.Follow(c, string(id), func(after uint64) httpapi.Query { return query.OrderStatuses{OrderID: id, After: after} })
}

// statusEvents converts an order's status changes to server-sent events.
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

// A browser's EventSource cannot send Authorization. It gets a URL with a ticket instead,
// which identity signs. A ticket is valid for one order's stream, on behalf of the user who
// requested it, and must be used within a minute. So every gateway can verify it, and no URL
// contains an access token.

// streamURL is a URL to follow an order without an access token.
type streamURL struct {
	URL       string `json:"url" doc:"For new EventSource(url). It follows this order only, with your rights"`
	ExpiresIn int64  `json:"expires_in" doc:"Seconds within which the URL must be opened"`
}

func createStreamURL(c *httpapi.Call, in *orderInput) (*httpapi.Response, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	// Return the error now if the user may not see the order.
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
	resp, err := httpapi.NewJSONResponse(streamURL{c.Origin() + "/api/orders/" + string(in.ID) + "/stream?ticket=" + url.QueryEscape(t.Ticket), t.ExpiresIn})
	if err != nil {
		return nil, err
	}
	return resp.Created(""), nil
}
