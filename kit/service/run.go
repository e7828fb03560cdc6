package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"golang.org/x/sync/errgroup"

	"lonja/kit/bus"
	"lonja/kit/decider"
	"lonja/kit/keyring"
	"lonja/kit/projection"
	"lonja/kit/revocation"
)

// shutdownTimeout is how long work that has begun may take when a service stops.
const shutdownTimeout = 4 * time.Second

// checkStreams returns an error unless the streams that the service uses exist; it creates
// none. A stream that differs from streams.yaml is logged.
func (s *Service) checkStreams(ctx context.Context, d *deps) error {
	names := []string{bus.DeadLetterStream, revocation.Stream}
	for _, v := range s.Views {
		for _, src := range v.Sources() {
			names = append(names, src.Stream)
		}
	}
	if s.Sealed {
		names = append(names, keyring.Stream)
	}
	for _, durable := range s.consumers(d.Streams) {
		names = append(names, d.Streams.StreamOf(durable))
	}
	for _, name := range names {
		names = append(names, d.Streams.Layout.Partitions(name)[1:]...)
	}
	wrong, err := d.Streams.Check(ctx, d.js, names)
	for _, w := range wrong {
		d.Logger.Error("a stream differs from streams.yaml", "problem", w)
	}
	return err
}

func (s *Service) openViews(ctx context.Context, d *deps) error {
	var opening errgroup.Group
	for _, v := range s.Views {
		opening.Go(func() error {
			return v.Open(ctx, projection.Config{
				JetStream:  d.js,
				Log:        d.log,
				Dir:        d.folder(),
				Consumer:   s.Name + "-" + d.Replica,
				Logger:     d.Logger,
				DeadLetter: d.deadLetters.undecodable,
				OnChange:   s.onChange(d, v),
			})
		})
	}
	return opening.Wait()
}

// onChange returns what is to be done with the keys that a view has changed, nil for nothing.
func (s *Service) onChange(d *deps, v *projection.View) func([]projection.KeyChange) {
	intakes, notify := s.intakesOn(v), slices.Contains(s.ChangeNotifications, v)
	if !notify && len(intakes) == 0 {
		return nil
	}
	return func(changed []projection.KeyChange) {
		for _, i := range intakes {
			i.changed(changed)
		}
		if notify {
			d.notifyChanges(changed)
		}
	}
}

func (s *Service) closeViews(d *deps) {
	for _, v := range s.Views {
		if err := v.Close(); err != nil {
			d.Logger.Warn("view not closed", "view", v.Name(), "reason", err)
		}
	}
}

// run serves until ctx ends. It stops things in the order of their dependencies: new requests
// first, then work in progress, then the views.
func (s *Service) run(ctx context.Context, d *deps, ready func()) error {
	router, err := s.router(d)
	if err != nil {
		return err
	}
	// Work that has begun outlives ctx, so that it can be finished.
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorking()

	group, ctx := errgroup.WithContext(ctx)
	viewing, stopViews := context.WithCancel(working)
	for _, v := range s.Views {
		group.Go(func() error {
			// A view that stops does not stop the service: decisions need no view, and
			// readiness shows it.
			if err := v.Run(viewing); err != nil {
				d.Logger.Error("a view has stopped; fix its code and restart the service, and it goes on where it stopped", "error", err)
			}
			return nil
		})
	}
	if d.serverClock != nil {
		group.Go(func() error { d.serverClock.Run(viewing); return nil })
	}
	group.Go(func() error { return s.watchLayout(ctx, d) })
	group.Go(func() error {
		defer stopViews()
		return s.serve(ctx, working, d, router, ready)
	})
	return group.Wait()
}

func (s *Service) serve(ctx, working context.Context, d *deps, router *message.Router, ready func()) error {
	routing := make(chan error, 1)
	go func() { routing <- router.Run(working) }()
	select {
	case <-router.Running():
	case err := <-routing:
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	serving, err := s.serveOperators(working, d)
	if err == nil {
		err = s.serveQueries(ctx, working, d, serving)
	}
	// A request that is sent after ready must be served, so the server must know the subscriptions.
	if err == nil {
		err = d.Conn.FlushTimeout(shutdownTimeout)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("service %s: %w", s.Name, err), serving.stop(d.Conn), router.Close())
	}
	d.Logger.Debug("serving")
	s.running.Store(d)
	defer s.running.Store(nil)
	if ready != nil && ctx.Err() == nil {
		ready()
	}
	if s.Upkeep != nil {
		s.keepUp(ctx, d)
	}
	<-ctx.Done()
	return errors.Join(serving.stop(d.Conn), router.Close(), <-routing)
}

// addHandler adds a handler to the router. The limit is for the handler with all its
// middleware. Watermill's Timeout is outermost, because it leaves the message with an ended
// context: middleware outside of it could not call the handler again.
//
// The handler returns no messages for the router to publish. It publishes its events itself,
// in the middle of a decision; see Watermill in ARCHITECTURE.md. It is given the publisher so
// that Watermill's metrics and traces can name it.
func (d *deps) addHandler(router *message.Router, limit time.Duration, name, topic string, from message.Subscriber,
	handle func(*message.Message) error, inside ...message.HandlerMiddleware) {
	handler := router.AddHandler(name, topic, from, "", d.log.Publisher(), func(m *message.Message) ([]*message.Message, error) {
		growStack() // the router starts a goroutine for each message
		return nil, handle(m)
	})
	handler.AddMiddleware(middleware.Timeout(limit))
	handler.AddMiddleware(d.Middleware...)
	handler.AddMiddleware(inside...)
}

// router wires commands, reactions, timers, effects, retries and deferred commands into one Watermill router.
func (s *Service) router(d *deps) (*message.Router, error) {
	logger := routerLogger{watermill.NewSlogLoggerWithLevelMapping(d.Logger, map[slog.Level]slog.Level{
		slog.LevelInfo: watermill.LevelTrace, slog.LevelDebug: watermill.LevelTrace, // it logs every handler and subscription
	})}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: shutdownTimeout}, logger)
	if err != nil {
		return nil, err
	}
	router.AddMiddleware(middleware.Recoverer)
	for _, c := range s.Commands {
		s.addCommand(router, d, c)
	}
	for _, r := range s.delivered(d.Streams) {
		if err := s.addReaction(router, d, r); err != nil {
			return nil, err
		}
	}
	for i := range s.Timers {
		if err := s.addTimer(router, d, &s.Timers[i]); err != nil {
			return nil, err
		}
	}
	for i := range s.Effects {
		if err := s.addEffect(router, d, &s.Effects[i]); err != nil {
			return nil, err
		}
	}
	return router, errors.Join(s.addRetries(router, d), s.addDeferred(router, d))
}

// routerLogger is the router's logger. The router logs each error of a handler. While an entity is
// being read, that would be one for each message that waits for it; the decider has logged it once.
type routerLogger struct{ watermill.LoggerAdapter }

func (l routerLogger) Error(text string, err error, fields watermill.LogFields) {
	if errors.Is(err, decider.ErrReading) {
		l.LoggerAdapter.Debug(text, fields.Add(watermill.LogFields{"reason": err.Error()}))
		return
	}
	l.LoggerAdapter.Error(text, err, fields)
}

func (l routerLogger) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return routerLogger{l.LoggerAdapter.With(fields)}
}
