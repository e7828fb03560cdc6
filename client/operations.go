package client

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// DeadLetter is a message that could not be handled. Headers and Data are the
// message's own.
type DeadLetter struct {
	ID       uint64              `json:"id"`
	Time     time.Time           `json:"time"`
	Consumer string              `json:"consumer"` // that failed
	Stream   string              `json:"stream"`   // where the message is,
	Sequence uint64              `json:"sequence"` // and at which sequence
	Subject  string              `json:"subject"`
	Reason   string              `json:"reason"`
	Headers  map[string][]string `json:"headers"`
	Data     string              `json:"data"`
	Private  bool                `json:"private,omitempty"` // headers, data and reason are not shown
}

// RetriedLetter says who tries again with a dead letter.
type RetriedLetter struct {
	ID uint64   `json:"id"`
	To []string `json:"to"` // consumers
}

// ListDeadLetters returns one page of the messages that could not be handled.
// Staff only.
func (c *Client) ListDeadLetters(ctx context.Context, p Paging, options ...CallOption) (*List[DeadLetter], error) {
	return call[List[DeadLetter]](ctx, c, request{method: http.MethodGet, path: "/api/deadletters", user: true, query: p.values(url.Values{})}, options)
}

// AllDeadLetters returns the dead letters page by page, see [Client.ListDeadLetters].
func (c *Client) AllDeadLetters(ctx context.Context, p Paging, options ...CallOption) iter.Seq2[DeadLetter, error] {
	return all(p, func(p Paging) (*List[DeadLetter], error) { return c.ListDeadLetters(ctx, p, options...) })
}

// GetDeadLetter returns one of them. Staff only.
func (c *Client) GetDeadLetter(ctx context.Context, id uint64, options ...CallOption) (*DeadLetter, error) {
	return call[DeadLetter](ctx, c, request{method: http.MethodGet, path: letter(id), user: true}, options)
}

// RetryDeadLetter gives a dead letter back to the consumer that failed. It is
// [NotFound] afterwards, so this is not sent again when no answer came: look
// whether the letter is still there. Staff only.
func (c *Client) RetryDeadLetter(ctx context.Context, id uint64, options ...CallOption) (*RetriedLetter, error) {
	return call[RetriedLetter](ctx, c, request{method: http.MethodPost, path: letter(id) + "/retry", user: true, once: true}, options)
}

// DropDeadLetter deletes a dead letter; its message stays in the log. Like
// [Client.RetryDeadLetter] it is not sent again when no answer came. Staff only.
func (c *Client) DropDeadLetter(ctx context.Context, id uint64, options ...CallOption) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: letter(id), user: true, once: true}, options)
	return err
}

func letter(id uint64) string { return "/api/deadletters/" + strconv.FormatUint(id, 10) }

// Readiness says whether all services that the shop needs are there.
type Readiness struct {
	Ready    bool                     `json:"ready"`
	Store    string                   `json:"store,omitempty"` // why the log takes no events, where the gateway knows
	Services map[string]ServiceStatus `json:"services"`
}

// ServiceStatus is how a service is.
type ServiceStatus struct {
	Status    string   `json:"status"`              // ServiceReady, ServiceMissing, ServiceBehind or ServiceFailed
	Log       string   `json:"log,omitempty"`       // why the log takes no events
	Views     []string `json:"views,omitempty"`     // which are behind or have failed
	Consumers []string `json:"consumers,omitempty"` // which stand still although there is more
}

// The statuses of a service.
const (
	ServiceReady   = "ready"
	ServiceMissing = "missing"
	ServiceBehind  = "behind"
	ServiceFailed  = "failed"
)

// Liveness is the answer of a gateway that is alive.
type Liveness struct {
	Status string `json:"status"` // "ok"
}

// Healthy asks whether the gateway is alive. Like [Client.Ready] and
// [Client.GatewayReady] it asks once: a probe wants to know how things are now.
func (c *Client) Healthy(ctx context.Context, options ...CallOption) (*Liveness, error) {
	return call[Liveness](ctx, c, request{method: http.MethodGet, path: "/healthz", probe: true}, options)
}

// GatewayReady asks whether the gateway can serve, whatever the services do. It
// is [Unavailable] when it cannot.
func (c *Client) GatewayReady(ctx context.Context, options ...CallOption) (*Liveness, error) {
	return call[Liveness](ctx, c, request{method: http.MethodGet, path: "/readyz/gateway", probe: true}, options)
}

// Ready asks how the whole shop is. A shop that is not ready is no error but an
// answer, whose Ready is false.
func (c *Client) Ready(ctx context.Context, options ...CallOption) (*Readiness, error) {
	r := request{method: http.MethodGet, path: "/readyz", probe: true}
	res, err := c.do(ctx, r, options)
	var p *Problem
	if errors.As(err, &p) && p.Status == http.StatusServiceUnavailable {
		found := &Readiness{}
		if json.Unmarshal(p.body, found) == nil && found.Services != nil {
			return found, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return decode[Readiness](r, res)
}

// Metrics returns the gateway's metrics in Prometheus' text format.
func (c *Client) Metrics(ctx context.Context, options ...CallOption) (string, error) {
	res, err := c.do(ctx, request{method: http.MethodGet, path: "/metrics", probe: true}, options)
	if err != nil {
		return "", err
	}
	return string(res.Body), nil
}
