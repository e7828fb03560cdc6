package service

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"lonja/kit/bus"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
	"lonja/kit/projection"
)

// timeout is how long a command may take, and how long a query may wait for a view. Clients
// without a timeout of their own wait a little longer.
const timeout = 5 * time.Second

func (s *Service) addCommand(router *message.Router, d *deps, c Command) {
	subscriber := &bus.RequestSubscriber{Conn: d.Conn, Queue: s.Name, Unreadable: func(m *nats.Msg, err error) {
		d.respond(m.Reply, nil, nil, errs.New(errs.Invalid, "the message cannot be read: %v", err))
	}, Rejected: func(m *nats.Msg, err error) { d.rejectMessage(m, bus.CommandSubject(c.name()), err) }}
	d.addHandler(router, timeout, c.name(), bus.CommandSubject(c.name()), subscriber, func(m *message.Message) error {
		began := time.Now()
		receipt, err := d.decide(m.Context(), c, request{header: m.Metadata.Get, id: m.UUID, body: m.Payload})
		observe(d.metrics.commands, c.name(), began, receipt.Replayed, err)
		if err != nil {
			d.respond(m.Metadata.Get(bus.MetaReply), nil, nil, err)
			return nil
		}
		header := nats.Header{
			bus.HeaderEntity:   {receipt.EntityID},
			bus.HeaderPosition: {eventlog.Position(receipt.Stream, receipt.Sequence)},
		}
		if receipt.Replayed {
			header[bus.HeaderReplayed] = []string{"true"}
		}
		d.respond(m.Metadata.Get(bus.MetaReply), header, receipt.Reply, nil)
		return nil
	})
}

// request is a command as its sender wrote it.
type request struct {
	header   func(string) string
	id       string // the message's, used when the headers have none
	body     []byte
	deferred time.Time // when it was deferred; zero for one that came as a request
}

// decide passes a command to its handler, unless its sender's token was revoked. A panic
// becomes an error, since somebody waits for an answer. A deferred command was accepted while
// its sender was trusted, so a revocation since then does not matter.
func (d *deps) decide(ctx context.Context, c Command, s request) (r decider.Receipt, err error) {
	defer recoverPanic(&err)
	if err := d.checkLog(); err != nil {
		return r, err
	}
	env, err := eventlog.ParseEnvelope(s.header)
	if err != nil {
		return r, errs.New(errs.Invalid, "%v", err)
	}
	if s.deferred.IsZero() {
		if err := d.checkRevoked(ctx, env.Actor); err != nil {
			return r, err
		}
	}
	if env.ID == "" {
		env.ID = s.id
	}
	if r, err = c.handle(context.WithValue(ctx, deferredAtKey{}, s.deferred), decider.Command{Envelope: env}, s.body, d); err == nil {
		if replyErr, ok := r.Reply.(error); ok {
			return r, replyErr
		}
	}
	return r, err
}

// checkRevoked returns an error for a sender whose access token was revoked. Gateways check
// that too, but the message may have been on its way for a while.
func (d *deps) checkRevoked(ctx context.Context, actor eventlog.Actor) error {
	if d.revoked == nil {
		return nil
	}
	return d.revoked.Check(ctx, actor)
}

// checkLog returns an error when the log has lost events. New ones must not be mixed with
// those that will be restored.
func (d *deps) checkLog() error {
	if err := d.log.DataLoss(); err != nil {
		return err
	}
	for _, v := range d.service.Views {
		if err := v.Failed(); errors.Is(err, projection.ErrLost) {
			return errs.New(errs.Unavailable, "the log has lost events and must be restored first: %v", err)
		}
	}
	return nil
}

// respond answers a request. An error without a code is logged, and the answer only says that
// there was one.
func (d *deps) respond(to string, header nats.Header, body any, err error) {
	if err == nil {
		body, err = encode(body)
	}
	if err != nil {
		r, coded := errs.As(err)
		switch {
		case !coded:
			d.Logger.Error("a request failed", "error", err)
			r = errs.New(errs.Internal, "something went wrong on our side")
		case errors.Is(err, decider.ErrReading): // the decider has logged it once
			d.Logger.Debug("a request could not be served", "error", err)
		case r.Code == errs.Unavailable:
			d.Logger.Warn("a request could not be served", "error", err)
		}
		header = addSize(nats.Header{bus.HeaderErrorCode: {string(r.Code)}, bus.HeaderError: {r.Detail}}, err)
		body, _ = json.Marshal(r)
	}
	err = d.Conn.PublishMsg(&nats.Msg{Subject: to, Header: header, Data: body.([]byte)})
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		d.respond(to, nil, nil, errs.New(errs.Invalid, "the answer is too large to be sent; ask for less"))
	case err != nil && !errors.Is(err, nats.ErrConnectionClosed):
		d.Logger.Warn("an answer could not be sent", "error", err)
	}
}

// rejectMessage counts and logs a message on an endpoint that is no request to it: somebody
// has it delivered there who may not send requests, or does not know how.
func (d *deps) rejectMessage(m *nats.Msg, endpoint string, reason error) {
	d.metrics.rejected.WithLabelValues(endpoint).Inc()
	d.Logger.Warn("a message that is no request was rejected", "endpoint", endpoint, "reason", reason)
	if natsauth.IsInbox(m.Reply) {
		d.respond(m.Reply, nil, nil, errs.New(errs.Forbidden, "this is no request to %s: %v", endpoint, reason))
	}
}

// encode returns a body as JSON. What is JSON already is not marshalled again.
func encode(body any) (any, error) {
	switch b := body.(type) {
	case nil:
		return []byte("{}"), nil
	case []byte:
		return b, nil
	case json.RawMessage:
		return []byte(b), nil
	}
	return json.Marshal(body)
}
