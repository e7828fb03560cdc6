package natsauth

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A NATS server publishes for others what they may not publish themselves: it
// delivers the messages of a stream to any subject that a consumer names, and
// answers to any subject that a request names, and checks no right to publish
// there. So do services that answer whoever asks. The headers of such a message
// were written by somebody else than whoever brought it about. What this file
// tells is therefore asked of every message before its headers are believed.

// CheckRequest returns an error unless m is a request that somebody sent to
// the endpoint and waits for the answer to:
//
//   - A message of a stream keeps the subject that it was stored under, wherever
//     it is delivered to.
//   - An answer asks for none itself. One that goes elsewhere than to an inbox
//     would be the answering service's own message there.
//   - What a server adds when it hands out a stored message has Nats- headers.
//
// Whoever receives a message that is none must do nothing about it, and answer
// only to an inbox.
func CheckRequest(m *nats.Msg, endpoint string) error {
	if m.Subject != endpoint {
		return fmt.Errorf("it was published on %s and delivered to %s", m.Subject, endpoint)
	}
	if !IsInbox(m.Reply) {
		return fmt.Errorf("its reply subject must be an inbox, %s…, not %q", nats.InboxPrefix, m.Reply)
	}
	for key := range m.Header {
		if strings.HasPrefix(strings.ToLower(key), "nats-") {
			return fmt.Errorf("the header %s belongs to stored messages", key)
		}
	}
	return nil
}

// IsInbox reports whether a subject is one where an answer may be sent to.
func IsInbox(subject string) bool { return strings.HasPrefix(subject, nats.InboxPrefix) }

// Request sends a request and waits for its answer, as long as ctx allows. A
// message of a stream that is delivered to the inbox is not taken for the
// answer, but is an error: the client gives it to whoever happens to wait alone.
func Request(ctx context.Context, conn *nats.Conn, m *nats.Msg) (*nats.Msg, error) {
	reply, err := conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return nil, err
	}
	if own := cmp.Or(conn.Opts.InboxPrefix, strings.TrimSuffix(nats.InboxPrefix, ".")) + "."; !strings.HasPrefix(reply.Subject, own) {
		return nil, fmt.Errorf("a message of %s was delivered instead of an answer", reply.Subject)
	}
	return reply, CheckAnswer(reply)
}

// CheckAnswer returns an error when an answer is a stored message that a server
// was asked to hand out there. That it came to its inbox is the caller's to check.
func CheckAnswer(m *nats.Msg) error {
	for _, key := range []string{"Nats-Stream", "Nats-Subject", "Nats-Sequence"} {
		if len(m.Header[key]) > 0 {
			return fmt.Errorf("a stored message was handed out instead of an answer (header %s)", key)
		}
	}
	return nil
}

// CheckDelivery is how a consumer delivered m. It is an error unless that one
// brought it: another one may have been told to deliver to the same inbox.
func CheckDelivery(m jetstream.Msg, consumer *jetstream.ConsumerInfo) (*jetstream.MsgMetadata, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, fmt.Errorf("not a message of JetStream: %w", err)
	}
	if meta.Stream != consumer.Stream || meta.Consumer != consumer.Name {
		return nil, fmt.Errorf("it is one of the consumer %s on %s", meta.Consumer, meta.Stream)
	}
	return meta, nil
}
