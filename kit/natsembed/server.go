// Package broker runs a NATS server with JetStream inside the process, and
// looks after its store: one failed write or sync makes JetStream refuse
// everything until the store is opened again.
package natsembed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Config says how the server stores and where it listens.
type Config struct {
	Dir  string // of the store
	Name string // the server's; "" means "nats"
	Addr string // host:port; port 0 picks a free one
	// SyncAlways makes every acknowledged message survive a power cut. Without
	// it the store is synced every SyncInterval.
	SyncAlways   bool
	SyncInterval time.Duration
	// MaxStore bounds the store in bytes; 0 means half of what Shared holds and the
	// disk has left, at most 64 GiB.
	MaxStore int64
	// Shared is the folder that holds Dir and what grows with it, the views; ""
	// means that nothing does.
	Shared string
	Logger *slog.Logger // nil discards
	// Users are the only ones who may connect; without any, everybody may, and
	// may do everything. Who they are makes no other log.
	Users []*server.NkeyUser
}

// Server is a running server. It is safe for concurrent use.
type Server struct {
	config Config
	host   string
	port   int
	stop   func() // stops watching, and waits

	mu      sync.Mutex
	server  *server.Server // nil while it is being opened again
	url     string
	ends    map[string]uint64 // the last sequence of each stream, when all was well
	healthy context.Context
	fail    context.CancelCauseFunc
}

// Start starts a server and returns once it takes connections. It is an error
// that says so when a stream that the store holds cannot be opened.
func Start(c Config) (*Server, error) {
	host, port, err := address(c.Addr)
	if err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return nil, err
	}
	b := &Server{config: c, host: host, port: port}
	b.healthy, b.fail = context.WithCancelCause(context.Background())
	if err := b.open(); err != nil {
		return nil, err
	}
	b.look()
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		b.watch(ctx)
	}()
	b.stop = func() { cancel(); <-watched }
	return b, nil
}

func address(addr string) (host string, port int, err error) {
	host, number, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("--nats %q: %w", addr, err)
	}
	port, err = strconv.Atoi(number)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("--nats %q: port must be 0 to 65535", addr)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// open makes sure that what the store shows is on the disk, and starts a server
// on it.
func (b *Server) open() error {
	held, err := streamsIn(b.config.Dir)
	if err != nil {
		return err
	}
	err = secure(b.config.Dir, b.config.unsynced())
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w, make room: %w", ErrFull, err)
	}
	if err != nil {
		return fmt.Errorf("the store in %s: %w", b.config.Dir, err)
	}
	limit, err := b.config.limit()
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{
		ServerName:         cmp.Or(b.config.Name, "nats"),
		Host:               b.host,
		Port:               b.port,
		JetStream:          true,
		StoreDir:           b.config.Dir,
		JetStreamMaxStore:  limit,
		JetStreamMaxMemory: 64 << 20,
		SyncAlways:         b.config.SyncAlways,
		SyncInterval:       b.config.SyncInterval,
		// A client that hangs is found out soon: until then it keeps its place in
		// the queue groups.
		PingInterval: 5 * time.Second,
		MaxPingsOut:  2,
		Nkeys:        b.config.Users,
		NoSigs:       true,
		NoLog:        true, // it gets a logger below
	})
	if err != nil {
		return fmt.Errorf("NATS server: %w", err)
	}
	var log fatal
	s.SetLogger(&log, false, false)
	s.Start()
	if err := b.opened(s, &log, held); err != nil {
		shutDown(s)
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.server, b.url = s, s.ClientURL()
	b.port = s.Addr().(*net.TCPAddr).Port // the same one when it is opened again
	return nil
}

// opened waits until a server serves, and makes sure that it has opened all that
// the store held: it passes over what it cannot read.
func (b *Server) opened(s *server.Server, log *fatal, held []string) error {
	if log.why() == "" && !s.ReadyForConnections(5*time.Second) {
		log.Fatalf("it takes no connections")
	}
	if why := log.why(); why != "" {
		return fmt.Errorf("NATS server with its store in %s: %s", b.config.Dir, why)
	}
	state, err := stateOf(s)
	if err != nil {
		return err
	}
	for _, stream := range held {
		if _, there := state.ends[stream]; !there {
			return fmt.Errorf("stream %s in %s cannot be opened; restore the store, or remove that stream's folder if its messages are not needed", stream, b.config.Dir)
		}
	}
	for stream, end := range b.reached() {
		if state.ends[stream] < end {
			return fmt.Errorf("stream %s ends at %d although it had reached %d: its disk has lost messages; restore it", stream, state.ends[stream], end)
		}
	}
	return nil
}

// fatal keeps what a server cannot start for. It tells that to its logger alone,
// from whichever of its goroutines finds out.
type fatal struct{ said atomic.Pointer[string] }

func (f *fatal) why() string {
	if said := f.said.Load(); said != nil {
		return *said
	}
	return ""
}

func (f *fatal) Fatalf(format string, v ...any) { f.said.Store(new(fmt.Sprintf(format, v...))) }
func (f *fatal) Errorf(string, ...any)          {}
func (f *fatal) Warnf(string, ...any)           {}
func (f *fatal) Noticef(string, ...any)         {}
func (f *fatal) Debugf(string, ...any)          {}
func (f *fatal) Tracef(string, ...any)          {}

// state is what a server stores, in bytes, and the last sequence of each stream.
type state struct {
	used, most int64
	ends       map[string]uint64
}

func stateOf(s *server.Server) (state, error) {
	info, err := s.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return state{}, fmt.Errorf("NATS server: %w", err)
	}
	st := state{used: int64(info.Store), most: info.Config.MaxStore, ends: map[string]uint64{}}
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			st.ends[stream.Name] = stream.State.LastSeq
		}
	}
	return st, nil
}

func shutDown(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func (b *Server) reached() map[string]uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ends
}

// URL is where clients connect. It stays the same.
func (b *Server) URL() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.url
}

// Stop stops the server and waits until its store is closed.
func (b *Server) Stop() {
	b.stop()
	if b.server != nil {
		shutDown(b.server)
	}
}
