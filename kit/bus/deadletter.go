// Package deadletter keeps messages that could not be handled on the stream
// DEADLETTERS, and gives them back to whoever failed:
//
//	deadletters.<consumer>.<stream>.<sequence>
//
// One message and one consumer make one letter, however often it is reported.
package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
	"lonja/kit/streams"
)

// The streams.
const (
	DeadLetterStream = "DEADLETTERS"
	RetryStream      = "RETRIES"
)

// Undecodable stands for all readers: what one cannot decode, none can.
const Undecodable = "undecodable"

// Headers of a letter, besides those of the message that died.
const (
	deadLetterHeaderPrefix   = "lonja-dead-"
	HeaderDeadLetterReason   = deadLetterHeaderPrefix + "reason"
	HeaderDeadLetterConsumer = deadLetterHeaderPrefix + "consumer" // that failed, or Undecodable
	HeaderDeadLetterStream   = deadLetterHeaderPrefix + "stream"   // where the message is,
	HeaderDeadLetterSequence = deadLetterHeaderPrefix + "sequence" // and at which sequence
	HeaderDeadLetterSubject  = deadLetterHeaderPrefix + "subject"
)

// maxDeadLetterReason is how many bytes of a reason are kept: a stack may be long.
const maxDeadLetterReason = 8 << 10

// ErrDeadLettersFull means that there is no room for another letter.
var ErrDeadLettersFull = errors.New(DeadLetterStream + " is full: retry or drop letters")

// DeadLetter is a message that could not be handled. Headers and Data are the
// message's own.
type DeadLetter struct {
	ID       uint64      `json:"id"` // its sequence on DEADLETTERS
	Time     time.Time   `json:"time"`
	Consumer string      `json:"consumer"`
	Stream   string      `json:"stream"`
	Sequence uint64      `json:"sequence"`
	Subject  string      `json:"subject"`
	Reason   string      `json:"reason"`
	Headers  nats.Header `json:"headers"`
	Data     string      `json:"data"`
	Private  bool        `json:"private,omitempty" doc:"Headers, data and reason are not shown, for they may be secrets"`
}

// DeadLetterSubject is the subject of the dead letter of a message that a consumer
// failed on. Each part may be "*".
func DeadLetterSubject(consumer, stream, sequence string) string {
	return strings.Join([]string{"deadletters", consumer, stream, sequence}, ".")
}

// DeadLetterQueue is where the letters are.
type DeadLetterQueue struct{ js jetstream.JetStream }

// PermissionsToDeadLetter is what it takes to put aside what a consumer failed on.
func PermissionsToDeadLetter(consumer, stream string) natsauth.Permissions {
	return natsauth.AllowPublish(DeadLetterSubject(consumer, stream, "*"))
}

// PermissionsForDeadLetters is what it takes to list the letters, give them back and drop them.
func PermissionsForDeadLetters() natsauth.Permissions {
	g := natsauth.AllowRead(DeadLetterStream)
	g.Add(natsauth.AllowDelete(DeadLetterStream), natsauth.AllowPublish("retries.>"))
	return g
}

// NewDeadLetterQueue is the box on a server.
func NewDeadLetterQueue(js jetstream.JetStream) *DeadLetterQueue { return &DeadLetterQueue{js} }

// Add keeps a letter durably; its ID and Time are not looked at. Kept is false
// when it is there already. Control headers of NATS are left out; so are headers and
// data when there is no room for the letter's own beside them: its place tells where
// they are. It is ErrDeadLettersFull when there is no room for any letter.
func (b *DeadLetterQueue) Add(ctx context.Context, l DeadLetter) (kept bool, err error) {
	err = b.publish(ctx, l)
	if messageTooLarge(err) {
		l.Headers, l.Data, l.Reason = nil, "", "too large to be kept here: "+l.Reason
		err = b.publish(ctx, l)
	}
	switch {
	case eventlog.IsConflict(err):
		return false, nil
	case eventlog.IsFull(err):
		return false, fmt.Errorf("%w: %w", ErrDeadLettersFull, err)
	}
	return err == nil, err
}

// messageTooLarge reports whether a message was larger, or had larger headers, than any
// stream takes.
func messageTooLarge(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.As(err, &api) && (api.ErrorCode == 10054 || api.ErrorCode == 10097)
}

func (b *DeadLetterQueue) publish(ctx context.Context, l DeadLetter) error {
	header := nats.Header{}
	for key, values := range l.Headers {
		if !strings.HasPrefix(strings.ToLower(key), "nats-") {
			header[key] = values
		}
	}
	for key, value := range map[string]string{
		HeaderDeadLetterReason: strings.ToValidUTF8(l.Reason[:min(len(l.Reason), maxDeadLetterReason)], "?"), HeaderDeadLetterConsumer: l.Consumer, HeaderDeadLetterStream: l.Stream,
		HeaderDeadLetterSequence: strconv.FormatUint(l.Sequence, 10), HeaderDeadLetterSubject: l.Subject,
		jetstream.ExpectedStreamHeader: DeadLetterStream, jetstream.ExpectedLastSubjSeqHeader: "0",
	} {
		header[key] = []string{value}
	}
	_, err := b.js.PublishMsg(ctx, &nats.Msg{
		Subject: DeadLetterSubject(l.Consumer, l.Stream, strconv.FormatUint(l.Sequence, 10)), Header: header, Data: []byte(l.Data),
	})
	return err
}

// List returns up to limit letters from an id on, oldest first, and how many
// there are in all.
func (b *DeadLetterQueue) List(ctx context.Context, from uint64, limit int) (letters []DeadLetter, total int, err error) {
	total, err = b.Each(ctx, from, func(l DeadLetter) (more bool) {
		if len(letters) < limit {
			letters = append(letters, l)
		}
		return len(letters) < limit
	})
	return letters, total, err
}

// Each calls see for one letter after the other, from an id on, oldest first, for
// as long as that wants more, and returns how many there are in all. Letters may be
// large: it holds one at a time.
func (b *DeadLetterQueue) Each(ctx context.Context, from uint64, see func(DeadLetter) (more bool)) (total int, err error) {
	stream, err := b.js.Stream(ctx, DeadLetterStream)
	if err != nil {
		return 0, err
	}
	state := stream.CachedInfo().State
	for seq := max(from, state.FirstSeq); seq <= state.LastSeq; seq++ {
		raw, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject("deadletters.>"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return 0, err
		}
		if !see(readDeadLetter(raw)) {
			break
		}
		seq = raw.Sequence
	}
	return int(state.Msgs), nil
}

// Get is one letter; a NotFound refusal when there is none with this id.
func (b *DeadLetterQueue) Get(ctx context.Context, id uint64) (DeadLetter, error) {
	stream, err := b.js.Stream(ctx, DeadLetterStream)
	if err != nil {
		return DeadLetter{}, err
	}
	raw, err := stream.GetMsg(ctx, id)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return DeadLetter{}, errs.New(errs.NotFound, "there is no dead letter %d", id)
	}
	if err != nil {
		return DeadLetter{}, err
	}
	return readDeadLetter(raw), nil
}

func readDeadLetter(raw *jetstream.RawStreamMsg) DeadLetter {
	l := DeadLetter{
		ID: raw.Sequence, Time: raw.Time, Consumer: raw.Header.Get(HeaderDeadLetterConsumer), Stream: raw.Header.Get(HeaderDeadLetterStream),
		Subject: raw.Header.Get(HeaderDeadLetterSubject), Reason: raw.Header.Get(HeaderDeadLetterReason), Headers: nats.Header{}, Data: string(raw.Data),
	}
	l.Sequence, _ = strconv.ParseUint(raw.Header.Get(HeaderDeadLetterSequence), 10, 64)
	for key, values := range raw.Header {
		if !strings.HasPrefix(key, deadLetterHeaderPrefix) && !strings.HasPrefix(key, "Nats-") {
			l.Headers[key] = values
		}
	}
	return l
}

// Retry hands a dead letter to the consumer that failed on it and drops it. If the
// consumer fails again, there will be a new dead letter. A message that nobody could
// decode goes to every consumer that config lets read its subject.
//
// Errors are a Conflict when no consumer can try again, a NotFound when there is no
// such dead letter, and an Unavailable when too many are being retried. A message may
// be handed over twice when the process ends in the middle, which changes nothing.
func (b *DeadLetterQueue) Retry(ctx context.Context, id uint64, config *streams.Config) (to []string, err error) {
	l, err := b.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	to = []string{l.Consumer}
	if l.Consumer == Undecodable {
		if to = config.ConsumersOf(l.Stream, l.Subject); len(to) == 0 {
			return nil, errs.New(errs.Conflict, "no reaction reads letter %d, only views, and they look again by themselves: drop it", id)
		}
	}
	for _, consumer := range to {
		subject := l.RetrySubject(config.ServiceOf(consumer), consumer)
		if len(config.ConsumersOf(RetryStream, subject)) == 0 {
			return nil, errs.New(errs.Conflict, "nobody takes letters back for %s: drop letter %d", consumer, id)
		}
		header := nats.Header{}
		for key, values := range l.Headers {
			header[key] = values
		}
		header[HeaderDeadLetterConsumer] = []string{consumer}
		header[HeaderDeadLetterStream] = []string{l.Stream}
		header[HeaderDeadLetterSequence] = []string{strconv.FormatUint(l.Sequence, 10)}
		header[HeaderDeadLetterSubject] = []string{l.Subject}
		header[jetstream.ExpectedStreamHeader] = []string{RetryStream}
		if _, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: header, Data: []byte(l.Data)}); err != nil {
			if eventlog.IsFull(err) {
				return nil, errs.New(errs.Unavailable, "too many letters are on their way back already; try again later")
			}
			return nil, fmt.Errorf("hand letter %d to %s: %w", id, consumer, err)
		}
	}
	return to, b.Drop(ctx, id)
}

// RetrySubject is the subject on which the message is handed to a consumer of a
// service again. A message that failed while it was retried keeps its subject.
func (l DeadLetter) RetrySubject(service, consumer string) string {
	if l.Stream == RetryStream {
		return l.Subject
	}
	return RetrySubject(service, consumer, l.Stream, strconv.FormatUint(l.Sequence, 10))
}

// RetrySubject is the subject on which a message of a stream is given back to a
// consumer of a service. Each part may be "*".
func RetrySubject(service, consumer, stream, sequence string) string {
	return strings.Join([]string{"retries", service, consumer, stream, sequence}, ".")
}

// ParseRetry tells from a subject of RETRIES which message is to go back to which
// consumer. It is an error that the subject is none.
func ParseRetry(subject string) (consumer, stream string, seq uint64, err error) {
	tokens := strings.Split(subject, ".")
	if len(tokens) == 5 {
		consumer, stream = tokens[2], tokens[3]
		seq, err = strconv.ParseUint(tokens[4], 10, 64)
	}
	if err != nil || seq == 0 || subject != RetrySubject(tokens[1], consumer, stream, strconv.FormatUint(seq, 10)) {
		return "", "", 0, fmt.Errorf("the subject %s names no message to retry", subject)
	}
	return consumer, stream, seq, nil
}

// Drop throws a letter away for good; it is a NotFound refusal when there is
// none with this id. The message that died stays where it is.
func (b *DeadLetterQueue) Drop(ctx context.Context, id uint64) error {
	if _, err := b.Get(ctx, id); err != nil {
		return err
	}
	stream, err := b.js.Stream(ctx, DeadLetterStream)
	if err != nil {
		return err
	}
	return stream.DeleteMsg(ctx, id)
}
