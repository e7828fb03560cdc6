package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// Defer leaves a command for its service to handle later, and returns when the command is
// stored durably. The envelope must have an id that can be a token of a subject. A command may
// be deferred twice, and even after it was sent: the same id takes effect once.
//
// The error is Unavailable when the stream cannot be reached or is half full. The other half
// is for the outcomes.
func (c *Client) Defer(ctx context.Context, cmd Command, env eventlog.Envelope) error {
	data, err := json.Marshal(cmd)
	if err != nil {
		return err
	}
	stream, err := c.js.Stream(ctx, DeferredStream)
	if err != nil {
		return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "the command could not be deferred"), err)
	}
	subject := DeferredSubject(cmd.CommandName(), env.ID)
	config, state := stream.CachedInfo().Config, stream.CachedInfo().State
	if halfFull(state.Msgs, config.MaxMsgs) || halfFull(state.Bytes, config.MaxBytes) {
		if _, err := stream.GetLastMsgForSubject(ctx, subject); err == nil {
			return nil // it is stored already
		}
		return errs.New(errs.Unavailable, "too many commands wait already; try again later")
	}
	header := env.Header()
	header[jetstream.ExpectedStreamHeader] = []string{DeferredStream}
	header[jetstream.ExpectedLastSubjSeqHeader] = []string{"0"}
	_, err = c.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: header, Data: data})
	if err == nil || eventlog.IsConflict(err) {
		return nil
	}
	return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "the command could not be deferred"), err)
}

// halfFull reports whether half of a stream's limit is used. A limit below 1 means none.
func halfFull(used uint64, most int64) bool { return most > 0 && used >= uint64(most)/2 }

// Outcome returns what became of a deferred command, and the actor who sent it. The status is
// OutcomePending until the service has handled it. The error is NotFound when no command with
// this id was deferred, and Unavailable when the stream cannot be read. The stream's leader
// answers, since a follower may not know yet of a command that was just deferred.
func (c *Client) Outcome(ctx context.Context, id string) (o Outcome, owner string, err error) {
	// The owner is read from the command, since any service may write an outcome.
	deferred, err := c.lastDeferred(ctx, DeferredSubject("*.*", id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return o, "", errs.New(errs.NotFound, "no command %s was deferred", id)
	}
	if err != nil {
		return o, "", err
	}
	owner = deferred.Headers.Get(eventlog.HeaderActor)
	stored, err := c.lastDeferred(ctx, OutcomeSubject(id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Outcome{ID: id, Status: OutcomePending}, owner, nil
	}
	if err != nil {
		return o, "", err
	}
	return o, owner, json.Unmarshal(stored.Data, &o)
}

// undecodedLog reads streams that hold no events.
func undecodedLog(js jetstream.JetStream) *eventlog.Log {
	return eventlog.New(js, eventlog.Codec{Decode: func(string, []byte) (eventlog.Event, error) {
		return nil, errors.New("this is no event")
	}})
}

// lastDeferred returns the last message on a subject of the stream of deferred commands. The
// error is jetstream.ErrMsgNotFound when there is none.
func (c *Client) lastDeferred(ctx context.Context, subject string) (eventlog.Record, error) {
	log := undecodedLog(c.js)
	last, err := log.Last(ctx, DeferredStream, subject)
	if err == nil && last == 0 {
		return eventlog.Record{}, jetstream.ErrMsgNotFound
	}
	var m eventlog.Record
	if err == nil {
		m, err = log.At(ctx, DeferredStream, last)
	}
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		err = fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "no outcome can be read now"), err)
	}
	return m, err
}
