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

// DeadLetter is a message that a consumer could not handle. Headers and Data are the
// message's.
type DeadLetter struct {
	ID       uint64              `json:"id"`
	Time     time.Time           `json:"time"`
	Consumer string              `json:"consumer"` // that failed to handle it
	Stream   string              `json:"stream"`   // of the message
	Sequence uint64              `json:"sequence"` // of the message in Stream
	Subject  string              `json:"subject"`
	Reason   string              `json:"reason"`
	Headers  map[string][]string `json:"headers"`
	Data     string              `json:"data"`
	Private  bool                `json:"private,omitempty"` // Headers, Data and Reason are withheld
}

// RetriedDeadLetter names the consumers that a dead letter was sent back to.
type RetriedDeadLetter struct {
	ID uint64   `json:"id"`
	To []string `json:"to"` // consumers
}

// ListDeadLetters returns one page of the dead letters. Staff only.
func (c *Client) ListDeadLetters(ctx context.Context, p Paging, options ...CallOption) (*List[DeadLetter], error) {
	return call[List[DeadLetter]](ctx, c, request{method: http.MethodGet, path: "/api/deadletters", user: true, query: p.values(url.Values{})}, options)
}

// AllDeadLetters returns all dead letters from p.Page on, see [Client.ListDeadLetters]. It
// ends after an error.
func (c *Client) AllDeadLetters(ctx context.Context, p Paging, options ...CallOption) iter.Seq2[DeadLetter, error] {
	return all(p, func(p Paging) (*List[DeadLetter], error) { return c.ListDeadLetters(ctx, p, options...) })
}

// GetDeadLetter returns a dead letter. Staff only.
func (c *Client) GetDeadLetter(ctx context.Context, id uint64, options ...CallOption) (*DeadLetter, error) {
	return call[DeadLetter](ctx, c, request{method: http.MethodGet, path: deadLetterPath(id), user: true}, options)
}

// RetryDeadLetter sends a dead letter back to the consumer that failed, and removes it. So the
// request is not repeated if there is no response: call [Client.GetDeadLetter] to see whether
// the dead letter still exists. Staff only.
func (c *Client) RetryDeadLetter(ctx context.Context, id uint64, options ...CallOption) (*RetriedDeadLetter, error) {
	return call[RetriedDeadLetter](ctx, c, request{method: http.MethodPost, path: deadLetterPath(id) + "/retry", user: true, once: true}, options)
}

// DropDeadLetter deletes a dead letter; its message stays in the log. Like
// [Client.RetryDeadLetter], the request is not repeated if there is no response. Staff only.
func (c *Client) DropDeadLetter(ctx context.Context, id uint64, options ...CallOption) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: deadLetterPath(id), user: true, once: true}, options)
	return err
}

func deadLetterPath(id uint64) string { return "/api/deadletters/" + strconv.FormatUint(id, 10) }

// Readiness reports whether all services of the shop are ready.
type Readiness struct {
	Ready    bool                     `json:"ready"`
	Store    string                   `json:"store,omitempty"` // why the log accepts no events, if the gateway knows
	Services map[string]ServiceStatus `json:"services"`
}

// ServiceStatus is the status of a service.
type ServiceStatus struct {
	Status    string   `json:"status"`              // ServiceReady, ServiceMissing, ServiceBehind or ServiceFailed
	Log       string   `json:"log,omitempty"`       // why the log accepts no events
	Views     []string `json:"views,omitempty"`     // those that are behind or have failed
	Consumers []string `json:"consumers,omitempty"` // those that are stalled: there are events, but none is delivered
}

// The statuses of a service.
const (
	ServiceReady   = "ready"
	ServiceMissing = "missing"
	ServiceBehind  = "behind"
	ServiceFailed  = "failed"
)

// Liveness is the response of a gateway that is alive.
type Liveness struct {
	Status string `json:"status"` // "ok"
}

// Healthy checks whether the gateway is alive. Like [Client.Ready] and
// [Client.GatewayReady], it does not retry: a probe reports the current state.
func (c *Client) Healthy(ctx context.Context, options ...CallOption) (*Liveness, error) {
	return call[Liveness](ctx, c, request{method: http.MethodGet, path: "/healthz", probe: true}, options)
}

// GatewayReady checks whether the gateway can serve requests, whatever the state of the
// services. The error is [Unavailable] if it cannot.
func (c *Client) GatewayReady(ctx context.Context, options ...CallOption) (*Liveness, error) {
	return call[Liveness](ctx, c, request{method: http.MethodGet, path: "/readyz/gateway", probe: true}, options)
}

// Ready returns the state of the whole shop. If the shop is not ready, that is not an error:
// the result's Ready is false.
func (c *Client) Ready(ctx context.Context, options ...CallOption) (*Readiness, error) {
	r := request{method: http.MethodGet, path: "/readyz", probe: true}
	res, err := c.do(ctx, r, options)
	var p *Problem
	if errors.As(err, &p) && p.Status == http.StatusServiceUnavailable {
		report := &Readiness{}
		if json.Unmarshal(p.body, report) == nil && report.Services != nil {
			return report, nil
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
