package follow

import (
	"cmp"
	"encoding/json"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/bus"
)

// The defaults of Config.
const (
	defaultFollowers = 20_000
	defaultWaiting   = 4_000
)

// maxQueries bounds the concurrent queries of all followers, however many were woken.
const maxQueries = 64

// Event is a server-sent event.
type Event struct {
	ID   uint64 // the sequence on Config.Stream; increases from event to event
	Name string // the event field; "" omits it, and browsers call it "message"
	Data any    // sent as JSON
	Last bool   // no event follows
}

// Config configures Changes. Client, Service, Namespace and Registry are required; Stream
// and Events only for Follow.
type Config struct {
	Client *bus.Client
	// Service is the name of the service that announces changes. Stream is the stream
	// whose sequences are the events' IDs; announcements of other streams do not wake
	// followers.
	Service, Stream string
	// Events decodes the answer to a follower's Query.
	Events func(answer json.RawMessage) ([]Event, error)
	// MaxFollowers bounds the clients that follow at once, MaxWaiting the requests that
	// wait at once. 0 means 20,000 and 4,000; negative values are an error.
	MaxFollowers, MaxWaiting int
	// Following and Waiting describe both groups in errors and metrics, such as "following
	// counters" and "waiting for their counters".
	Following, Waiting string
	// Namespace is the prefix of the metrics: NAMESPACE_followers,
	// NAMESPACE_waiting, and each with _refused_total.
	Namespace string
	Registry  prometheus.Registerer
}

// Changes waits for the changes of one service's entities. It is safe for concurrent use.
type Changes struct {
	config     Config
	watchers   watchers
	followers  *limit
	waiting    *limit
	querySlots chan struct{} // held by followers during a query
}

// New subscribes to the service's announcements, for as long as the client's connection
// lasts. It returns an error when a bound is negative, a metric is registered already or
// the subscription fails.
func New(c Config) (*Changes, error) {
	if c.MaxFollowers < 0 || c.MaxWaiting < 0 {
		return nil, errors.New("follow: MaxFollowers and MaxWaiting must not be negative")
	}
	ch := &Changes{config: c, watchers: watchers{byKey: map[string][]*watcher{}}, querySlots: make(chan struct{}, maxQueries)}
	var failed [3]error
	ch.followers, failed[0] = newLimit(c.Registry, c.Namespace, "followers", c.Following, cmp.Or(c.MaxFollowers, defaultFollowers))
	ch.waiting, failed[1] = newLimit(c.Registry, c.Namespace, "waiting", c.Waiting, cmp.Or(c.MaxWaiting, defaultWaiting))
	failed[2] = c.Client.Changes(c.Service, ch.watchers.notify)
	return ch, errors.Join(failed[:]...)
}
