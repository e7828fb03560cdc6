package follow

import (
	"cmp"
	"encoding/json"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/bus"
)

// How many may wait at once when Config does not say.
const (
	defaultFollowers = 20_000
	defaultWaiting   = 4_000
)

// askAtOnce is how many followers ask at the same time, however many were woken.
const askAtOnce = 64

// Event is one thing that happened, as a follower is sent it.
type Event struct {
	ID   uint64 // its sequence on Config's Stream; grows from event to event
	Name string // "" is a message
	Data any    // is sent as JSON
	Last bool   // nothing comes after it
}

// Config says whose changes are waited for. Client, Service, Namespace and
// Registry are required; Stream and Events, too, where somebody follows.
type Config struct {
	Client *bus.Client
	// Service is the name of the service that announces changes, and Stream the
	// stream whose sequences are the ids of events: what happens on other ones
	// makes no follower ask.
	Service, Stream string
	// Events reads the answer to a follower's query.
	Events func(answer json.RawMessage) ([]Event, error)
	// MaxFollowers is how many may follow at once, and MaxWaiting how many may
	// wait; 0 means 20,000 and 4,000.
	MaxFollowers, MaxWaiting int
	// Following and Waiting say what those do, such as "following counters" and
	// "waiting for their counters".
	Following, Waiting string
	// Namespace is what the names of metrics begin with: NAMESPACE_followers,
	// NAMESPACE_waiting, and each with _refused_total.
	Namespace string
	Registry  prometheus.Registerer
}

// Changes are the changes of one service's things. It is safe for concurrent use.
type Changes struct {
	config    Config
	watches   watches
	following *places
	waiting   *places
	asking    chan struct{} // of the followers who ask right now
}

// New begins to listen for announcements, for as long as the client's connection
// lasts.
func New(c Config) (*Changes, error) {
	if c.MaxFollowers < 0 || c.MaxWaiting < 0 {
		return nil, errors.New("MaxFollowers and MaxWaiting must not be negative")
	}
	ch := &Changes{config: c, watches: watches{byKey: map[string][]*watch{}}, asking: make(chan struct{}, askAtOnce)}
	var failed [3]error
	ch.following, failed[0] = newPlaces(c.Registry, c.Namespace, "followers", c.Following, cmp.Or(c.MaxFollowers, defaultFollowers))
	ch.waiting, failed[1] = newPlaces(c.Registry, c.Namespace, "waiting", c.Waiting, cmp.Or(c.MaxWaiting, defaultWaiting))
	failed[2] = c.Client.Changes(c.Service, ch.watches.changed)
	return ch, errors.Join(failed[:]...)
}
