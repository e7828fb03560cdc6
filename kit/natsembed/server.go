package natsembed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
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
	// SyncGroup acknowledges messages before they are synced, and syncs those of all
	// publishers together: whoever relies on a message calls [Server.Synced] first. What
	// nobody waits for is synced within a second or two. It excludes SyncAlways and
	// SyncInterval. The server's name ends with [GroupSuffix] then.
	SyncGroup bool
	// OnSync is called after each sync that somebody waited for, with how many did, and
	// how long it took. It must not block. Nil is allowed.
	OnSync func(waiters int, took time.Duration)
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

	fsync func(*os.File) error // for tests; nil means (*os.File).Sync
}

// Server is a running server. Its methods can be called concurrently.
type Server struct {
	config Config
	host   string
	port   int
	stop   func() // stops the watch and waits for its end

	mu      sync.Mutex
	server  *server.Server // nil while the store is being opened again
	group   *groupSync     // nil without SyncGroup, and while the store is being opened again
	url     string
	ends    map[string]uint64 // the last sequence of each stream when the store was last healthy, or that was synced
	seen    map[string]uint64 // the last sequence that each stream had, synced or not; nil if it does not matter
	doubt   map[string]int    // the first block of each folder that may not be on the disk, when syncs failed
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
	if c.SyncGroup && (c.SyncAlways || c.SyncInterval != 0) {
		return nil, errors.New("NATS server: SyncGroup excludes SyncAlways and SyncInterval")
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
	if err := removeStaleIndexes(s.config.Dir); err != nil {
		return fmt.Errorf("the store in %s: %w", s.config.Dir, err)
	}
	group, err := s.secure()
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
	srv, err := server.NewServer(s.config.options(s.host, s.port, limit))
	if err != nil {
		return fmt.Errorf("NATS server: %w", err)
	}
	var log fatalLog
	srv.SetLogger(&log, false, false)
	srv.Start()
	err = s.checkOpened(srv, &log, held)
	if err == nil && group != nil {
		if err = group.start(); err != nil {
			group.close()
		}
	}
	if err != nil {
		shutDown(srv)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server, s.group, s.url, s.doubt = srv, group, srv.ClientURL(), nil
	s.seen = nil
	s.port = srv.Addr().(*net.TCPAddr).Port // so that it keeps its port when it is opened again
	return nil
}

// secure makes sure that the closed store is on the disk as it reads. It returns the
// syncs of the store once it is open, nil without SyncGroup.
func (s *Server) secure() (*groupSync, error) {
	consumers := consumerStates{dir: s.config.Dir}
	if err := consumers.restore(); err != nil {
		return nil, err
	}
	if err := rewriteUnsynced(s.config.Dir, s.config.maxUnsynced(), s.doubt); err != nil {
		return nil, err
	}
	if !s.config.SyncGroup {
		return nil, consumers.discard()
	}
	if err := s.checkFiles(); err != nil {
		return nil, err
	}
	// Before the server writes states that it does not sync.
	if err := consumers.save(); err != nil {
		return nil, err
	}
	return newGroupSync(s.config, func() { s.check() })
}

// checkFiles returns an error unless the files of a closed store hold up to where each stream
// was synced, and up to where this process may have read it. The server would not tell: if it
// remembers that a stream had reached a sequence, it counts what is missing as deleted.
func (s *Server) checkFiles() error {
	s.mu.Lock()
	ends, seen := s.ends, s.seen
	s.mu.Unlock()
	for stream, end := range seen {
		last, err := lastSequence(filepath.Join(streamsDir(s.config.Dir), stream, "msgs"))
		switch {
		case err != nil:
			return err
		case last < ends[stream]:
			return fmt.Errorf("stream %s ends at %d, but it had reached %d: the disk has lost messages; restore the stream", stream, last, ends[stream])
		case last < end:
			return fmt.Errorf("stream %s ends at %d, but this process has seen it reach %d: nothing that was confirmed is lost; start the process again", stream, last, end)
		}
	}
	return nil
}

// options returns the options of a server whose store may take limit bytes.
func (c Config) options(host string, port int, limit int64) *server.Options {
	o := &server.Options{
		ServerName:         cmp.Or(c.Name, "nats"),
		Host:               host,
		Port:               port,
		JetStream:          true,
		StoreDir:           c.Dir,
		JetStreamMaxStore:  limit,
		JetStreamMaxMemory: 64 << 20,
		SyncAlways:         c.SyncAlways,
		SyncInterval:       c.SyncInterval,
		// Detect a client that hangs early: until then it keeps its place in queue
		// groups, and receives messages that it does not process.
		PingInterval: 5 * time.Second,
		MaxPingsOut:  2,
		Nkeys:        c.Users,
		NoSigs:       true,
		NoLog:        true, // open sets the logger
	}
	if c.SyncGroup {
		o.ServerName += GroupSuffix
		// Every two minutes or so the server also rewrites blocks that are half empty, and
		// without SyncAlways it puts the new file in place before it is on the disk.
		o.SyncInterval = 100 * 365 * 24 * time.Hour
	}
	return o
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
	held        map[string]uint64 // the same of the streams that hold a message
}

func stateOf(srv *server.Server) (state, error) {
	info, err := srv.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return state{}, fmt.Errorf("NATS server: %w", err)
	}
	st := state{used: int64(info.Store), limit: info.Config.MaxStore, ends: map[string]uint64{}, held: map[string]uint64{}}
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			st.ends[stream.Name] = stream.State.LastSeq
			if stream.State.Msgs > 0 {
				st.held[stream.Name] = stream.State.LastSeq
			}
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

// SyncsInGroups reports whether messages are acknowledged before they are synced.
func (s *Server) SyncsInGroups() bool { return s.config.SyncGroup }

// Synced waits until the message of a stream with this sequence, and every one before it,
// is on the disk. The sequence 0 stands for the last one that is stored now. Without SyncGroup it returns nil at once: the server has acknowledged the
// message according to its configuration. The error is that of ctx, or why the message is
// not on the disk now; it may get there later.
func (s *Server) Synced(ctx context.Context, stream string, sequence uint64) error {
	if !s.config.SyncGroup {
		return nil
	}
	s.mu.Lock()
	group := s.group
	s.mu.Unlock()
	if group == nil {
		return fmt.Errorf("%w: it is being opened again", ErrBroken)
	}
	err := group.await(ctx, stream, sequence)
	switch {
	case err == nil, ctx.Err() != nil, errors.Is(err, errStopped):
		return err
	case group.stopped() == nil: // otherwise the watch has told
		s.config.Logger.Warn("a message is not on the disk", "error", err)
	}
	return fmt.Errorf("%w: it cannot be synced", publicReason(err))
}

// URL returns the URL for clients. It stays the same when the store is opened again.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

// InProcessConn implements nats.InProcessConnProvider: it returns a connection to the server that
// does not go through the network. While the store is being opened again, there is none.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil, errors.New("the store is being opened again")
	}
	return s.server.InProcessConn()
}

// Stop stops the server, and returns when its store is closed. The folder can be
// used again then. Stop may be called twice.
func (s *Server) Stop() {
	s.stop()
	s.mu.Lock()
	group, srv := s.group, s.server
	s.group = nil
	s.mu.Unlock()
	if group != nil {
		group.close()
	}
	if srv != nil {
		shutDown(srv)
	}
	if group != nil {
		s.settle()
	}
}

// settle syncs what the server wrote while it stopped.
func (s *Server) settle() {
	consumers := consumerStates{dir: s.config.Dir}
	if err := errors.Join(syncTree(s.config.Dir, (*os.File).Sync), consumers.save()); err != nil {
		s.config.Logger.Error("the store is not on the disk as it was left", "error", err)
	}
}
