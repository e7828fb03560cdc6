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

// Defer leaves a command for its service to take up when it is back, and
// returns when that is durable. The envelope must have an id, a token that can
// stand in a subject; the same one twice is one command, even if it had reached
// the service before. It is an Unavailable refusal when the stream is half full:
// the other half is for what becomes of the commands.
func (c *Client) Defer(ctx context.Context, cmd Command, env eventlog.Envelope) error {
	data, err := json.Marshal(cmd)
	if err != nil {
		return err
	}
	stream, err := c.js.Stream(ctx, DeferredStream)
	if err != nil {
		return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "the command could not be left for later"), err)
	}
	subject := DeferredSubject(cmd.CommandName(), env.ID)
	config, state := stream.CachedInfo().Config, stream.CachedInfo().State
	if halfFull(state.Msgs, config.MaxMsgs) || halfFull(state.Bytes, config.MaxBytes) {
		if _, err := stream.GetLastMsgForSubject(ctx, subject); err == nil {
			return nil // it is there already
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
	return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "the command could not be left for later"), err)
}

// halfFull compares with a limit, which is none below 1.
func halfFull(used uint64, most int64) bool { return most > 0 && used >= uint64(most)/2 }

// Outcome tells what became of a command that was left for later, and who sent
// it. It is a NotFound refusal when there is none with this id. The stream's leader
// is asked: another server may not have heard yet of what was answered with this id.
func (c *Client) Outcome(ctx context.Context, id string) (o Outcome, owner string, err error) {
	// Whose it is the command says: any service may say what became of it.
	left, err := c.lastDeferred(ctx, DeferredSubject("*.*", id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return o, "", errs.New(errs.NotFound, "there is no command %s that was left for later", id)
	}
	if err != nil {
		return o, "", err
	}
	owner = left.Headers.Get(eventlog.HeaderActor)
	told, err := c.lastDeferred(ctx, OutcomeSubject(id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Outcome{ID: id, Status: Pending}, owner, nil
	}
	if err != nil {
		return o, "", err
	}
	return o, owner, json.Unmarshal(told.Data, &o)
}

// lastDeferred is the last message on a subject of the stream of commands that
// were left for later.
func (c *Client) lastDeferred(ctx context.Context, subject string) (eventlog.Record, error) {
	log := eventlog.New(c.js, eventlog.Codec{Decode: func(string, []byte) (eventlog.Event, error) {
		return nil, errors.New("a command is no fact")
	}})
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
