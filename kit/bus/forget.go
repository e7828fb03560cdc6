package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
	"lonja/kit/streams"
)

// Owner is somebody whose data an application forgets, such as a person who closes their
// account.
type Owner struct {
	// ID is the owner's id as an actor; see eventlog.Actor. It must not be empty.
	ID string
	// Subjects are filters of the events of the owner's own entities, such as
	// "events.user.<id>.>". No event of anybody else's may match.
	Subjects []string
}

// Forgotten is what a call of Forget found.
type Forgotten struct {
	Erased  int // messages that were erased now
	Pending int // messages that must be handled first, and are still there
}

// PermissionsToForget returns the permissions that Forget requires, besides reading the
// streams of the owner's events. NATS cannot limit them to the messages of one owner.
func PermissionsToForget() natsauth.Permissions {
	p := natsauth.AllowPublish("$JS.API.CONSUMER.INFO." + DeferredStream + ".*")
	p.Add(natsauth.AllowGet(RetryStream), PermissionsToDeadLetter("*", "*"))
	for _, stream := range []string{DeferredStream, DeadLetterStream} {
		p.Add(natsauth.AllowRead(stream), natsauth.AllowDelete(stream))
	}
	return p
}

// Forget erases what the server keeps of an owner besides events, and overwrites it on the
// disk:
//
//   - the commands that the owner deferred, their outcomes and their dead letters;
//   - the headers, data and reasons of dead letters of the owner's own events. What is left
//     can still be retried, since another entity may depend on it.
//
// What is not handled yet counts as pending and stays: the owner's deferred commands, and
// retries of these and of the owner's events, but for the event because of which the owner is
// forgotten. Events of other entities stay even if they name the owner.
//
// Forget may be repeated and continues after an error or a crash. The owner is forgotten once
// a call returns zeros: a message may be stored while Forget reads the stream. Errors are
// errs.Unavailable, unless the owner has no id. Each message that it erases costs the server
// a write of up to 8 MB, so an owner with thousands takes several calls, as long as ctx ends
// them.
//
// On a replicated stream, what is erased also stays in the servers' own logs until they
// compact them.
func Forget(ctx context.Context, js jetstream.JetStream, config *streams.Config, owner Owner, because eventlog.Record) (Forgotten, error) {
	if owner.ID == "" {
		return Forgotten{}, errors.New("an owner to be forgotten has no id")
	}
	f := &forgetting{js: js, log: undecodedLog(js), config: config, owner: owner, because: because, acked: map[string]uint64{}}
	for _, step := range []struct {
		stream string
		run    func(context.Context) error
	}{{RetryStream, f.retries}, {DeadLetterStream, f.deadLetters}, {DeferredStream, f.deferred}} {
		if !config.HasStream(step.stream) {
			continue
		}
		if err := step.run(ctx); err != nil {
			return f.found, fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "not everything is forgotten yet"), err)
		}
	}
	return f.found, nil
}

// forgetting is one call of Forget.
type forgetting struct {
	js      jetstream.JetStream
	log     *eventlog.Log
	config  *streams.Config
	owner   Owner
	because eventlog.Record
	acked   map[string]uint64 // by consumer of DEFERRED: it has handled all messages up to this sequence
	found   Forgotten
}

// retries counts the owner's messages that are being retried. The stream need not allow
// direct access.
func (f *forgetting) retries(ctx context.Context) error {
	for from := uint64(1); ; {
		seq, err := f.log.Next(ctx, RetryStream, "retries.>", from)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		var m eventlog.Record
		if err == nil {
			m, err = f.log.At(ctx, RetryStream, seq)
		}
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound): // it was handled meanwhile
		case err != nil:
			return err
		case f.isOwn(RetryStream, m.Subject, m.Headers) && !f.isBecause(m.Subject):
			f.found.Pending++
		}
		from = seq + 1
	}
}

// isBecause reports whether a retry is that of the event because of which Forget was called.
func (f *forgetting) isBecause(subject string) bool {
	_, stream, seq, err := ParseRetry(subject)
	return err == nil && stream == f.because.Stream && seq == f.because.Sequence
}

// isOwn reports whether a dead letter or a retry, whose message was on a stream and subject, is
// that of a command or an event of the owner.
func (f *forgetting) isOwn(stream, subject string, header nats.Header) bool {
	return f.isOwnCommand(stream, subject, header) || f.isOwnEvent(header.Get(HeaderDeadLetterSubject), header)
}

func (f *forgetting) deadLetters(ctx context.Context) error {
	queue := NewDeadLetterQueue(f.js)
	var commands []uint64
	var events, unclear []DeadLetter
	err := f.each(ctx, DeadLetterStream, "deadletters.>", func(m eventlog.Record) {
		l := readDeadLetter(&jetstream.RawStreamMsg{Sequence: m.Sequence, Header: m.Headers})
		switch {
		case l.Reason == emptied:
		case f.isOwnCommand(l.Stream, l.Subject, l.Headers):
			commands = append(commands, l.ID)
		case f.isOwnEvent(l.Subject, l.Headers):
			events = append(events, l)
		case l.Stream == RetryStream: // its subject does not tell the event's
			unclear = append(unclear, l)
		}
	})
	if err != nil {
		return err
	}
	for _, l := range unclear {
		own, err := f.retriesOwnEvent(ctx, l.Subject)
		if err != nil {
			return err
		}
		if own {
			events = append(events, l)
		}
	}
	for _, l := range events {
		if err := queue.empty(ctx, l); err != nil {
			return err
		}
		commands = append(commands, l.ID)
	}
	for _, seq := range commands {
		if err := f.erase(ctx, DeadLetterStream, seq); err != nil {
			return err
		}
	}
	return nil
}

// isOwnCommand reports whether a message is a deferred command of the owner, or one that is
// being retried.
func (f *forgetting) isOwnCommand(stream, subject string, header nats.Header) bool {
	if stream == RetryStream {
		_, stream, _, _ = ParseRetry(subject)
	}
	return stream == DeferredStream && header.Get(eventlog.HeaderActor) == f.owner.ID
}

// isOwnEvent reports whether a subject, or one that headers name, is that of an event of the
// owner's. The headers of a reminder name that of its event.
func (f *forgetting) isOwnEvent(subject string, header nats.Header) bool {
	own := func(subject string) bool {
		return slices.ContainsFunc(f.owner.Subjects, func(filter string) bool { return streams.Matches(filter, subject) })
	}
	if own(subject) {
		return true
	}
	for _, values := range header {
		if slices.ContainsFunc(values, own) {
			return true
		}
	}
	return false
}

// retriesOwnEvent reports whether the subject of a retry leads to an event of the owner's. It
// looks only at the stream of the event because of which Forget was called: others need not
// be readable.
func (f *forgetting) retriesOwnEvent(ctx context.Context, subject string) (bool, error) {
	_, stream, seq, err := ParseRetry(subject)
	if err != nil || stream != f.because.Stream {
		return false, nil
	}
	m, err := f.log.At(ctx, stream, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil && f.isOwnEvent(m.Subject, m.Headers), err
}

// deferred erases each command's outcomes before the command. If a crash comes in between, the
// command is known to be handled by its acknowledgement.
func (f *forgetting) deferred(ctx context.Context) error {
	own := map[uint64]string{}
	err := f.each(ctx, DeferredStream, "deferred.>", func(m eventlog.Record) {
		if m.Headers.Get(eventlog.HeaderActor) == f.owner.ID {
			own[m.Sequence] = m.Subject
		}
	})
	if err != nil {
		return err
	}
	for seq, subject := range own {
		outcome := OutcomeSubject(subject[strings.LastIndexByte(subject, '.')+1:])
		switch handled, err := f.isHandled(ctx, seq, subject, outcome); {
		case err != nil:
			return err
		case !handled:
			f.found.Pending++
			continue
		}
		if err := f.eraseAll(ctx, outcome); err != nil {
			return err
		}
		if err := f.erase(ctx, DeferredStream, seq); err != nil {
			return err
		}
	}
	return nil
}

// isHandled reports whether a deferred command has an outcome, or is acknowledged: the outcome
// is missing if there was no room for it. A command that no consumer reads is nobody's.
func (f *forgetting) isHandled(ctx context.Context, seq uint64, subject, outcome string) (bool, error) {
	if last, err := f.log.Last(ctx, DeferredStream, outcome); err != nil || last > 0 {
		return last > 0, err
	}
	for _, durable := range f.config.ConsumersOf(DeferredStream, subject) {
		if _, known := f.acked[durable]; !known {
			consumer, err := f.js.Consumer(ctx, DeferredStream, durable)
			if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				return false, err
			}
			f.acked[durable] = 0
			if err == nil {
				f.acked[durable] = consumer.CachedInfo().AckFloor.Stream
			}
		}
		if seq > f.acked[durable] {
			return false, nil
		}
	}
	return true, nil
}

// eraseAll erases the outcomes on a subject: a command that was retried has several.
func (f *forgetting) eraseAll(ctx context.Context, outcome string) error {
	for from := uint64(1); ; {
		seq, err := f.log.Next(ctx, DeferredStream, outcome, from)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err == nil {
			err = f.erase(ctx, DeferredStream, seq)
		}
		if err != nil {
			return err
		}
		from = seq + 1
	}
}

// each calls see for all messages that a stream holds on a filter when it is called.
func (f *forgetting) each(ctx context.Context, stream, filter string, see func(eventlog.Record)) error {
	last, err := f.log.Last(ctx, stream, filter)
	if err != nil {
		return err
	}
	return f.log.Load(ctx, stream, filter, 0, last, see)
}

// erase deletes a message and overwrites it on the disk. It is no error if it is gone already.
func (f *forgetting) erase(ctx context.Context, stream string, seq uint64) error {
	err := eraseMessage(ctx, f.js, stream, seq)
	if err == nil {
		f.found.Erased++
		return nil
	}
	if _, gone := f.log.At(ctx, stream, seq); errors.Is(gone, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
}

func eraseMessage(ctx context.Context, js jetstream.JetStream, stream string, seq uint64) error {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	return s.SecureDeleteMsg(ctx, seq)
}
