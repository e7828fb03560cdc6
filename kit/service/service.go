package service

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
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
	"lonja/kit/keyring"
	"lonja/kit/natsauth"
	"lonja/kit/projection"
	"lonja/kit/revocation"
	"lonja/kit/streams"
)

// Service declares everything that a service does. It holds the state of one run, so it runs
// only once: make a new one for another run.
type Service struct {
	Name      string // of the service in subjects, consumers, folders and metrics
	Views     []*projection.View
	Commands  []Command
	Reactions []Reaction
	Timers    []Timer
	Effects   []Effect
	Queries   []Query
	// ChangeNotifications are the views whose changed keys are published to clients that wait
	// for them; see bus.ChangesSubject. Each is one of Views.
	ChangeNotifications []*projection.View
	// Sealed declares that the service reads or records events with sealed members; see
	// eventlog.Sealed. Then it has a key ring, the permissions on the stream of keys, and
	// needs Config.KEKs. A service without Sealed sees such events without these members.
	Sealed bool
	// Deciders are those that OnStart and Upkeep use and no command or reaction names.
	Deciders []AnyDecider
	// OnStart is called at every start, after the views are open and before anything is
	// served; nil means nothing to do. It may use the deciders. Two replicas may run it at
	// once, and it runs again after a restart, so it must be safe to repeat.
	OnStart func(context.Context) error
	// Upkeep is called when the service begins to serve, and then every UpkeepInterval until it
	// stops, for work that no message causes; nil means none. It may use the deciders, and gets
	// the key ring, nil unless the service is Sealed. Every replica calls it, so it must be safe
	// to repeat and to run in several at once. An error is logged, and changes nothing else. Its
	// context ends when the service begins to stop, and Run waits until it returns.
	Upkeep         func(context.Context, *keyring.Ring) error
	UpkeepInterval time.Duration // 0 means a minute

	running atomic.Pointer[deps] // nil while it does not serve
}

// AnyDecider is a *decider.Decider of any entity type.
type AnyDecider interface {
	Bind(*eventlog.Log, decider.Config)
	Permissions() natsauth.Permissions
}

// Command declares that a service handles a command, whose struct is a bus.Command; see
// Handle, HandleWith and HandleWithActor.
type Command interface {
	name() string // "orders.place"
	bind(*eventlog.Log, decider.Config)
	permissions() natsauth.Permissions
	operatorsOnly() bool // only operators have the permission to send it
	heldBy() *intake     // nil when as many are accepted as come
	handle(context.Context, decider.Command, []byte, *deps) (decider.Receipt, error)
	describe() Endpoint
}

// Reaction lists the handlers of one shared durable consumer. An event that no handler names
// is left to a newer replica, and ends as a dead letter when there is none.
//
// An event may have several handlers, of which at most one decides. All of them run, and run
// again when one has failed, so a handler may run more than once for an event. The command
// that it decides on has an id derived from those of the event and the consumer, so it takes
// effect once.
type Reaction struct {
	Consumer string // its durable name, as in streams.yaml
	Handlers []Handler
}

// Handler is an element of Reaction.Handlers: it handles one type of event. See React
// and RevokeTokens.
type Handler interface {
	eventName() string // "stock.reserved.v1"
	bind(*eventlog.Log, decider.Config)
	permissions() natsauth.Permissions
	handle(ctx context.Context, cmd decider.Command, event eventlog.Record, d *deps) error
}

// EventNames returns the names of the events that the reaction handles, such as
// "stock.reserved.v1", each once.
func (r Reaction) EventNames() []string {
	var names []string
	for _, handler := range r.Handlers {
		if name := handler.eventName(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// handlersOf returns the handlers of an event.
func (r Reaction) handlersOf(e eventlog.Event) (handlers []Handler) {
	for _, handler := range r.Handlers {
		if handler.eventName() == e.EventName() {
			handlers = append(handlers, handler)
		}
	}
	return handlers
}

// Query declares a query that a service answers; see Answer.
type Query interface {
	name() string // "orders.order"
	answer(ctx context.Context, payload []byte, meta QueryMeta) (any, error)
	// position is that of the view that answers, "" when there is none.
	position() string
	describe() Endpoint
}

// Config is where and how a service runs. Application, Conn, Codec, Streams and Dir are
// required.
type Config struct {
	// Application is the name of the whole that the service is part of. It is in the source of
	// events ("lonja/orders"), and metrics begin with it ("lonja_command_seconds").
	Application string
	Conn        *nats.Conn
	Codec       eventlog.Codec
	Streams     *streams.Config
	Dir         string       // of the views and snapshots; the service makes a folder of its own in it
	Replica     string       // name of this replica of the service; "" means "a"
	Logger      *slog.Logger // nil discards
	// Clock is the time of decisions and timers; nil means the server's, which is the same for all
	// replicas however their machines' clocks are set. See eventlog.Clock.
	Clock   func() time.Time
	Metrics prometheus.Registerer // nil registers none
	// KEKs are the key-encryption keys of a service that is Sealed; others ignore it.
	KEKs *keyring.KEKs
	// Store returns a context that ends, with the reason as its cause, when the store behind
	// the log records no events any more; see eventlog.Log. Nil means that nothing is known
	// about the store.
	Store func() context.Context
	// Synced waits until a message of a stream is on the disk.
	Synced eventlog.SyncFunc
	// PublisherDecorators wrap the publisher of the service's events, for Watermill's metrics
	// or traces for instance; see eventlog.Log.Decorate. They are closed when the service has
	// stopped.
	PublisherDecorators []message.PublisherDecorator
	// Middleware wraps every handler of commands, reactions, retries and deferred commands;
	// the first is the outermost. It shares the handler's timeout, and may call the handler
	// again. It does not see a command's error, which is answered to the sender, nor the error
	// of a message that went to the dead letters.
	Middleware []message.HandlerMiddleware
}

// deps is what the parts of a running service share.
type deps struct {
	Config
	service     *Service
	js          jetstream.JetStream
	log         *eventlog.Log
	keys        *keyring.Ring // nil unless the service is Sealed
	deadLetters *deadLetters
	metrics     *metrics
	snapshots   *decider.Snapshots
	revoked     *revocation.List // nil when no stream of revocations is declared
	// counts are how many times each message has failed or was unknown; see count.
	counts      *lru.Cache[string, tally]
	subscribers map[string]*bus.StreamSubscriber // by the consumer's name
	clocks      map[string]*clock                // by the name of the timer or effect
	run         string                           // names this run of the service, among all of all replicas
	serverClock *eventlog.Clock                  // nil when Config.Clock is given
}

// Run runs a service until ctx ends, then finishes what has begun and returns nil. Ready,
// which may be nil, is called once the service serves. The error says why it could not start.
// Run panics when a required field of config is missing. A service that is Sealed does not
// start without the key-encryption key of the keys that are there.
//
// A view that has to stop does not stop the service; its Health reports the view.
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
	if err := cmp.Or(s.checkTimers(), s.checkEffects(&config)); err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	js, err := jetstream.New(config.Conn)
	if err != nil {
		return err
	}
	d := &deps{Config: config, service: s, js: eventlog.WithSync(js, config.Synced), log: eventlog.New(js, config.Codec), subscribers: map[string]*bus.StreamSubscriber{}, clocks: map[string]*clock{},
		run: s.Name + "-" + config.Replica + "-" + rand.Text()}
	if config.Clock == nil {
		d.serverClock = d.log.Clock(bus.DeadLetterStream)
		d.Clock = d.serverClock.Now
	}
	d.log.StoreContext, d.log.Synced = config.Store, config.Synced
	if err := s.makeKeyRing(d); err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	if err := d.log.Decorate(config.PublisherDecorators...); err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	defer func() { err = errors.Join(err, d.log.Close()) }()
	if d.counts, err = lru.New[string, tally](maxCounted); err != nil {
		return err
	}
	if err := s.readLayout(ctx, d); err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	d.metrics = newMetrics(s, d)
	d.deadLetters = &deadLetters{deps: d, box: bus.NewDeadLetterQueue(d.js)}
	if config.Streams.HasStream(revocation.Stream) {
		d.revoked = revocation.New(config.Conn)
	}
	d.snapshots = &decider.Snapshots{Dir: filepath.Join(d.folder(), "snapshots"), Logger: d.Logger}
	s.bind(d)

	if err := s.checkStreams(ctx, d); err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	if d.serverClock != nil {
		if err := d.serverClock.Ask(ctx); err != nil {
			return fmt.Errorf("service %s: the server's time: %w", s.Name, err)
		}
	}
	if err := s.checkKeys(ctx, d); err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	if err := s.openViews(ctx, d); err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	defer s.closeViews(d)
	if s.OnStart != nil {
		if err := s.OnStart(ctx); err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
	}
	err = s.run(ctx, d, ready)
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	d.snapshots.Save(saving)
	return err
}

// folder returns the folder of this replica.
func (d *deps) folder() string { return filepath.Join(d.Dir, d.service.Name, d.Replica) }

func (s *Service) bind(d *deps) {
	config := decider.Config{Source: d.Application + "/" + s.Name, Clock: d.Clock, Snapshots: d.snapshots, Logger: d.Logger}
	for _, dec := range s.Deciders {
		dec.Bind(d.log, config)
	}
	for _, c := range s.Commands {
		c.bind(d.log, config)
	}
	for _, r := range s.reactions() {
		for _, handler := range r.Handlers {
			handler.bind(d.log, config)
		}
	}
}
