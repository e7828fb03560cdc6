// Package service runs one service out of a literal that lists all that it
// does: the commands that it decides, the events that it reacts to, the views
// that it builds and the queries that it answers. It knows nothing of any shop.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/bus"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
	"lonja/kit/projection"
	"lonja/kit/revocation"
	"lonja/kit/streams"
)

// Service is a service's table of contents.
type Service struct {
	Name      string
	Views     []*projection.View
	Commands  []Command
	Reactions []Reaction
	Queries   []Query
	// Announces are the views whose touched keys are told to whoever waits for
	// news of them; see bus.ChangesSubject.
	Announces []*projection.View
	// Deciders are those that no command and no reaction names, but Prepare uses.
	Deciders []Binder
	// Prepare, which may be nil, is called at every start, before anything is
	// served. It may use the deciders. What it does must be safe to do again,
	// and by two replicas at once.
	Prepare func(context.Context) error

	running atomic.Pointer[deps] // nil before it serves and once it stops
}

// Binder is a decider of any kind of entity.
type Binder interface {
	Bind(*eventlog.Log, decider.Config)
	Permissions() natsauth.Permissions
}

// Command is one kind of command that a service decides; see On.
type Command interface {
	name() string // "orders.place"
	bind(*eventlog.Log, decider.Config)
	permissions() natsauth.Permissions
	forOperators() bool // nobody else may send it
	handle(context.Context, decider.Command, []byte) (decider.Receipt, error)
	describe() Endpoint
}

// Reaction is what a service does about the events that one shared durable
// consumer brings. Whatever it does has an id derived from the event's and the
// consumer's, so a second delivery changes nothing.
type Reaction struct {
	Consumer string // its durable name, as in streams.yaml
	Handlers []Handler
}

// Handler is a reaction to one type of event; see When, Remind and Revoke.
type Handler interface {
	eventName() string // "stock.reserved.v1"
	bind(*eventlog.Log, decider.Config)
	permissions() natsauth.Permissions
	handle(ctx context.Context, wish decider.Command, event eventlog.Record, deps *deps) error
}

// Events are the names of the events that the reaction handles.
func (r Reaction) EventNames() []string {
	var names []string
	for _, handler := range r.Handlers {
		names = append(names, handler.eventName())
	}
	return names
}

// Query is one kind of question that a service answers; see Answer.
type Query interface {
	name() string // "orders.order"
	answer(ctx context.Context, payload []byte, ask QueryMeta) (any, error)
	// position is how far the rows that were answered from stand, or "".
	position() string
	describe() Endpoint
}

// Config says where a service runs. Application, Conn, Codec, Streams and Dir are
// required.
type Config struct {
	// Application is what the services are part of. It stands in the source of events
	// ("lonja/orders") and begins the names of metrics ("lonja_command_seconds").
	Application string
	Conn        *nats.Conn
	Codec       eventlog.Codec
	Streams     *streams.Config
	Dir         string // for the views; the service makes a folder of its own in it
	Replica     string // tells replicas apart; "" means "a"
	Logger      *slog.Logger
	Clock       func() time.Time      // nil means time.Now
	Metrics     prometheus.Registerer // nil means that nobody wants to know
	// Store, which may be nil, is a context that ends, and says why, when the store
	// behind the log takes no events any more; see eventlog.Log.
	Store func() context.Context
	// PublisherDecorators wrap the publisher of the service's events, for Watermill's
	// metrics or traces for instance; see eventlog.Log.Decorate. They are closed when
	// the service has ended. Nil means none.
	PublisherDecorators []message.PublisherDecorator
	// Middleware wraps each handler of commands, reactions, retries and deferred
	// commands; the first one is outermost. It shares the handler's time, and may call
	// the handler again. It sees no error of a command, which is answered with it, and
	// none of a message that went to the dead letters. Nil means none.
	Middleware []message.HandlerMiddleware
}

// deps is what the parts of a running service share.
type deps struct {
	Config
	service     *Service
	js          jetstream.JetStream
	log         *eventlog.Log
	deadLetters *deadLetters
	metrics     *metrics
	revoked     *revocation.List // nil when there is no stream of revocations
	// failures are how often each message has failed; see delivered.
	failures    *lru.Cache[string, int]
	subscribers map[string]*bus.StreamSubscriber // by the consumer's name
}

// Run runs a service until ctx ends, then finishes what it has begun and
// returns nil. Ready, which may be nil, is called when it serves. It returns an
// error when it cannot start. A view that has to stop ends nothing else; see
// bus.Health.
func (s *Service) Run(ctx context.Context, config Config, ready func()) (err error) {
	if config.Application == "" || config.Conn == nil || config.Streams == nil || config.Dir == "" || config.Codec.Decode == nil {
		panic("service: Application, Conn, Codec, Streams and Dir are required")
	}
	if config.Replica == "" {
		config.Replica = "a"
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	config.Logger = config.Logger.With("service", s.Name, "replica", config.Replica)
	if config.Clock == nil {
		config.Clock = time.Now
	}
	js, err := jetstream.New(config.Conn)
	if err != nil {
		return err
	}
	d := &deps{Config: config, service: s, js: js, log: eventlog.New(js, config.Codec), subscribers: map[string]*bus.StreamSubscriber{}}
	d.log.StoreContext = config.Store
	if err := d.log.Decorate(config.PublisherDecorators...); err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	defer func() { err = errors.Join(err, d.log.Close()) }()
	if d.failures, err = lru.New[string, int](failing); err != nil {
		return err
	}
	d.metrics = newMetrics(s, d)
	d.deadLetters = &deadLetters{deps: d, box: bus.NewDeadLetterQueue(js)}
	if config.Streams.HasStream(revocation.Stream) {
		d.revoked = revocation.New(config.Conn)
	}
	s.bind(d)

	if err := s.checkStreams(ctx, d); err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	if err := s.openViews(ctx, d); err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	defer s.closeViews(d)
	if s.Prepare != nil {
		if err := s.Prepare(ctx); err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
	}
	return s.run(ctx, d, ready)
}

func (s *Service) bind(d *deps) {
	config := decider.Config{Source: d.Application + "/" + s.Name, Clock: d.Clock}
	for _, dec := range s.Deciders {
		dec.Bind(d.log, config)
	}
	for _, c := range s.Commands {
		c.bind(d.log, config)
	}
	for _, r := range s.Reactions {
		for _, handler := range r.Handlers {
			handler.bind(d.log, config)
		}
	}
}
