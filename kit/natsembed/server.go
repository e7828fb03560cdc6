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

// Config is the configuration of a server. Dir and Addr are required.
type Config struct {
	Dir  string // the folder of the store; created if it is missing
	Name string // the server's name; "" means "nats"
	Addr string // host:port; port 0 picks a free port
	// SyncAlways syncs each message before it is acknowledged, so that it survives
	// a power cut. Without it, the store is synced every SyncInterval; 0 means
	// every two minutes.
	SyncAlways   bool
	SyncInterval time.Duration
	// MaxStore limits the store, in bytes. 0 means half of the sum of what SharedDir
	// holds and what the disk has free, at most 64 GiB. At the limit the store is
	// full, as with ErrFull.
	MaxStore int64
	// SharedDir is the folder that contains Dir and everything that grows with the
	// store, such as views. "" means that nothing else does.
	SharedDir string
	Logger    *slog.Logger // nil discards
	// Users are the only clients that may connect. Without any, every client may
	// connect and do everything. Users may change between starts.
	Users []*server.NkeyUser
}

// Server is a running server. Its methods can be called concurrently.
type Server struct {
	config Config
	host   string
	port   int
	stop   func() // stops the watch and waits for its end

	mu      sync.Mutex
	server  *server.Server // nil while the store is being opened again
	url     string
	ends    map[string]uint64 // the last sequence of each stream when the store was last healthy
	healthy context.Context
	fail    context.CancelCauseFunc
}

// Start starts a server, and returns when it accepts connections. The store is open
// then, and its streams are complete: the error names a stream that the store holds
// and that cannot be opened. The error wraps [ErrFull] if there is no space to start.
// After an error nothing keeps running. Call [Server.Stop] when the server is no
// longer needed.
func Start(c Config) (*Server, error) {
	host, port, err := splitAddr(c.Addr)
	if err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return nil, err
	}
	s := &Server{config: c, host: host, port: port}
	s.healthy, s.fail = context.WithCancelCause(context.Background())
	if err := s.open(); err != nil {
		return nil, err
	}
	s.check()
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.watch(ctx)
	}()
	s.stop = func() { cancel(); <-watched }
	return s, nil
}

func splitAddr(addr string) (host string, port int, err error) {
	host, number, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("address %q of the NATS server: %w", addr, err)
	}
	port, err = strconv.Atoi(number)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("address %q of the NATS server: the port must be 0 to 65535", addr)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// open makes sure that the store is on the disk as it reads, and starts a server on
// it.
func (s *Server) open() error {
	held, err := streamsIn(s.config.Dir)
	if err != nil {
		return err
	}
	err = rewriteUnsynced(s.config.Dir, s.config.maxUnsynced())
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w, free some space: %w", ErrFull, err)
	}
	if err != nil {
		return fmt.Errorf("the store in %s: %w", s.config.Dir, err)
	}
	limit, err := s.config.limit()
	if err != nil {
		return err
	}
	srv, err := server.NewServer(&server.Options{
		ServerName:         cmp.Or(s.config.Name, "nats"),
		Host:               s.host,
		Port:               s.port,
		JetStream:          true,
		StoreDir:           s.config.Dir,
		JetStreamMaxStore:  limit,
		JetStreamMaxMemory: 64 << 20,
		SyncAlways:         s.config.SyncAlways,
		SyncInterval:       s.config.SyncInterval,
		// Detect a client that hangs early: until then it keeps its place in queue
		// groups, and receives messages that it does not process.
		PingInterval: 5 * time.Second,
		MaxPingsOut:  2,
		Nkeys:        s.config.Users,
		NoSigs:       true,
		NoLog:        true, // the logger is set below
	})
	if err != nil {
		return fmt.Errorf("NATS server: %w", err)
	}
	var log fatalLog
	srv.SetLogger(&log, false, false)
	srv.Start()
	if err := s.checkOpened(srv, &log, held); err != nil {
		shutDown(srv)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server, s.url = srv, srv.ClientURL()
	s.port = srv.Addr().(*net.TCPAddr).Port // so that it keeps its port when it is opened again
	return nil
}

// checkOpened waits until a server accepts connections. It returns an error unless
// all streams are there that the store held, with all messages: the server skips
// what it cannot read.
func (s *Server) checkOpened(srv *server.Server, log *fatalLog, held []string) error {
	if log.message() == "" && !srv.ReadyForConnections(5*time.Second) {
		log.Fatalf("it accepts no connections")
	}
	if message := log.message(); message != "" {
		return fmt.Errorf("NATS server with its store in %s: %s", s.config.Dir, message)
	}
	state, err := stateOf(srv)
	if err != nil {
		return err
	}
	for _, stream := range held {
		if _, ok := state.ends[stream]; !ok {
			return fmt.Errorf("stream %s in %s cannot be opened; restore the store, or remove the stream's folder if its messages are not needed", stream, s.config.Dir)
		}
	}
	for stream, end := range s.lastEnds() {
		if state.ends[stream] < end {
			return fmt.Errorf("stream %s ends at %d, but it had reached %d: the disk has lost messages; restore the stream", stream, state.ends[stream], end)
		}
	}
	return nil
}

// fatalLog is a logger that keeps the reason why a server cannot start. The server
// reports that only to its logger, from any of its goroutines.
type fatalLog struct{ last atomic.Pointer[string] }

func (l *fatalLog) message() string {
	if last := l.last.Load(); last != nil {
		return *last
	}
	return ""
}

func (l *fatalLog) Fatalf(format string, v ...any) { l.last.Store(new(fmt.Sprintf(format, v...))) }
func (l *fatalLog) Errorf(string, ...any)          {}
func (l *fatalLog) Warnf(string, ...any)           {}
func (l *fatalLog) Noticef(string, ...any)         {}
func (l *fatalLog) Debugf(string, ...any)          {}
func (l *fatalLog) Tracef(string, ...any)          {}

// state is the state of a server's store.
type state struct {
	used, limit int64             // bytes
	ends        map[string]uint64 // the last sequence of each stream
}

func stateOf(srv *server.Server) (state, error) {
	info, err := srv.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return state{}, fmt.Errorf("NATS server: %w", err)
	}
	st := state{used: int64(info.Store), limit: info.Config.MaxStore, ends: map[string]uint64{}}
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			st.ends[stream.Name] = stream.State.LastSeq
		}
	}
	return st, nil
}

func shutDown(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}

// lastEnds returns the last sequence of each stream when the store was last healthy.
func (s *Server) lastEnds() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends
}

// URL returns the URL for clients. It stays the same when the store is opened again.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

// Stop stops the server, and returns when its store is closed. The folder can be
// used again then. Stop may be called twice.
func (s *Server) Stop() {
	s.stop()
	if s.server != nil {
		shutDown(s.server)
	}
}
