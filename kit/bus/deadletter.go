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

// The streams of dead letters, and of the messages that are handed back to be retried. A
// dead letter's subject is
//
//	deadletters.<consumer>.<stream>.<sequence>
//
// so one message and one consumer make one dead letter, however often it fails.
const (
	DeadLetterStream = "DEADLETTERS"
	RetryStream      = "RETRIES"
)

// Undecodable is the consumer of a message that cannot be decoded: it means every consumer,
// since no reader can decode it.
const Undecodable = "undecodable"

// Headers of a dead letter, besides those of the message that failed.
const (
	deadLetterHeaderPrefix   = "lonja-dead-"
	HeaderDeadLetterReason   = deadLetterHeaderPrefix + "reason"
	HeaderDeadLetterConsumer = deadLetterHeaderPrefix + "consumer" // that failed, or Undecodable
	HeaderDeadLetterStream   = deadLetterHeaderPrefix + "stream"   // where the message is,
	HeaderDeadLetterSequence = deadLetterHeaderPrefix + "sequence" // and at which sequence
	HeaderDeadLetterSubject  = deadLetterHeaderPrefix + "subject"
)

// maxDeadLetterReason is how many bytes of a reason are kept. A stack trace may be long.
const maxDeadLetterReason = 8 << 10

// ErrDeadLettersFull reports that the stream has no room for another dead letter.
var ErrDeadLettersFull = errors.New(DeadLetterStream + " is full: retry or drop dead letters")

// DeadLetter is a message that a consumer could not handle. Headers and Data are the message's
// own.
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

// DeadLetterQueue is the stream of dead letters. It is safe for concurrent use.
type DeadLetterQueue struct{ js jetstream.JetStream }

// PermissionsToDeadLetter returns the permission to add dead letters of a consumer's messages.
// The stream may be "*".
func PermissionsToDeadLetter(consumer, stream string) natsauth.Permissions {
	return natsauth.AllowPublish(DeadLetterSubject(consumer, stream, "*"))
}

// PermissionsForDeadLetters returns the permissions to list, retry and drop dead letters.
func PermissionsForDeadLetters() natsauth.Permissions {
	g := natsauth.AllowRead(DeadLetterStream)
	g.Add(natsauth.AllowDelete(DeadLetterStream), natsauth.AllowPublish("retries.>"))
	return g
}

// NewDeadLetterQueue returns the queue on a server. It sends nothing yet.
func NewDeadLetterQueue(js jetstream.JetStream) *DeadLetterQueue { return &DeadLetterQueue{js} }

// Add stores a dead letter durably; its ID and Time are ignored. Kept is false when the same
// message and consumer have one already, so Add may run twice. NATS control headers are left
// out. A message that is too large to be stored together with the headers of its dead letter
// is stored without its headers and data: Stream and Sequence still tell where it is. The
// error wraps ErrDeadLettersFull when the stream is full.
func (b *DeadLetterQueue) Add(ctx context.Context, l DeadLetter) (kept bool, err error) {
	err = b.publish(ctx, l, 0)
	if messageTooLarge(err) {
		l.Headers, l.Data, l.Reason = nil, "", "too large to be stored here: "+l.Reason
		err = b.publish(ctx, l, 0)
	}
	switch {
	case eventlog.IsConflict(err):
		return false, nil
	case eventlog.IsFull(err):
		return false, fmt.Errorf("%w: %w", ErrDeadLettersFull, err)
	}
	return err == nil, err
}

// messageTooLarge reports whether err says that a message or its headers exceed what a stream
// accepts.
func messageTooLarge(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.As(err, &api) && (api.ErrorCode == 10054 || api.ErrorCode == 10097)
}

// emptied is the reason of a dead letter whose content was erased.
const emptied = "what it held was erased, because it was that of somebody who is forgotten"

// empty stores a dead letter once more without its content, so that it can still be retried,
// unless that was done before. The caller then erases the one with the content.
func (b *DeadLetterQueue) empty(ctx context.Context, l DeadLetter) error {
	l.Headers, l.Data, l.Reason = nil, "", emptied
	if err := b.publish(ctx, l, l.ID); !eventlog.IsConflict(err) {
		return err
	}
	return nil
}

// publish stores a dead letter if after is the id of the last one on its subject; 0 means none.
func (b *DeadLetterQueue) publish(ctx context.Context, l DeadLetter, after uint64) error {
	header := nats.Header{}
	for key, values := range l.Headers {
		if !strings.HasPrefix(strings.ToLower(key), "nats-") {
			header[key] = values
		}
	}
	for key, value := range map[string]string{
		HeaderDeadLetterReason: strings.ToValidUTF8(l.Reason[:min(len(l.Reason), maxDeadLetterReason)], "?"), HeaderDeadLetterConsumer: l.Consumer, HeaderDeadLetterStream: l.Stream,
		HeaderDeadLetterSequence: strconv.FormatUint(l.Sequence, 10), HeaderDeadLetterSubject: l.Subject,
		jetstream.ExpectedStreamHeader: DeadLetterStream, jetstream.ExpectedLastSubjSeqHeader: strconv.FormatUint(after, 10),
	} {
		header[key] = []string{value}
	}
	_, err := b.js.PublishMsg(ctx, &nats.Msg{
		Subject: DeadLetterSubject(l.Consumer, l.Stream, strconv.FormatUint(l.Sequence, 10)), Header: header, Data: []byte(l.Data),
	})
	return err
}

// List returns up to limit dead letters with an id of at least from, oldest first, and how
// many the stream holds in all.
func (b *DeadLetterQueue) List(ctx context.Context, from uint64, limit int) (letters []DeadLetter, total int, err error) {
	total, err = b.Each(ctx, from, func(l DeadLetter) (more bool) {
		if len(letters) < limit {
			letters = append(letters, l)
		}
		return len(letters) < limit
	})
	return letters, total, err
}

// Each calls see for every dead letter with an id of at least from, oldest first, until see
// returns false. It returns how many the stream holds in all. Dead letters may be large, so
// only one is in memory at a time.
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

// Get returns the dead letter with an id. The error is NotFound when there is none.
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

// Retry hands a dead letter's message to the consumer that failed on it, then drops the dead
// letter, and returns the consumers. If the consumer fails again, there will be a new dead
// letter. A message that could not be decoded goes to every shared consumer that reads its
// subject, according to config.
//
// Errors are Conflict when no consumer can try again, NotFound when there is no such dead
// letter, and Unavailable when too many messages are being retried. When the process ends in
// between, a message may be handed over twice, which is harmless.
func (b *DeadLetterQueue) Retry(ctx context.Context, id uint64, config *streams.Config) (to []string, err error) {
	l, err := b.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	to = []string{l.Consumer}
	if l.Consumer == Undecodable {
		if to = config.ConsumersOf(l.Stream, l.Subject); len(to) == 0 {
			return nil, errs.New(errs.Conflict, "no reaction reads dead letter %d, so there is nothing to retry: keep it as the record of why the message is skipped", id)
		}
	}
	for _, consumer := range to {
		subject := l.RetrySubject(config.ServiceOf(consumer), consumer)
		if len(config.ConsumersOf(RetryStream, subject)) == 0 {
			return nil, errs.New(errs.Conflict, "consumer %s takes no messages back: drop dead letter %d", consumer, id)
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
				return nil, errs.New(errs.Unavailable, "too many messages are being retried already; try again later")
			}
			return nil, fmt.Errorf("hand dead letter %d to %s: %w", id, consumer, err)
		}
	}
	return to, b.Drop(ctx, id)
}

// RetrySubject returns the subject that hands the message to a service's consumer again. A
// message that failed while it was retried keeps its subject.
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

// ParseRetry returns which message is handed to which consumer on a subject of the stream
// RETRIES. It is an error when the subject names none.
func ParseRetry(subject string) (consumer, stream string, seq uint64, err error) {
	tokens := strings.Split(subject, ".")
	if len(tokens) == 5 {
		consumer, stream = tokens[2], tokens[3]
		seq, err = strconv.ParseUint(tokens[4], 10, 64)
	}
	if err != nil || seq == 0 || subject != RetrySubject(tokens[1], consumer, stream, strconv.FormatUint(seq, 10)) {
		return "", "", 0, fmt.Errorf("the subject %s names no message to retry: want retries.<service>.<consumer>.<stream>.<sequence>", subject)
	}
	return consumer, stream, seq, nil
}

// Drop deletes a dead letter for good, and overwrites it on the disk. The error is NotFound
// when there is none with this id. The message that failed stays on its stream.
func (b *DeadLetterQueue) Drop(ctx context.Context, id uint64) error {
	if _, err := b.Get(ctx, id); err != nil {
		return err
	}
	return eraseMessage(ctx, b.js, DeadLetterStream, id)
}
