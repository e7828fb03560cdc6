package natsauth

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A NATS server publishes on behalf of clients what they may not publish
// themselves. It delivers the messages of a stream to any subject that a consumer
// names, replies to any subject that a request names, and checks no permission for
// that. Services that reply to requests do the same. The client that causes such a
// message did not write its headers, and the author of the headers did not send it.
// So every message passes a check of this file before its headers are trusted.

// CheckRequest returns an error unless m is a request that a client sent to the
// endpoint, which is a subject, and awaits the reply to. It detects these forgeries:
//
//   - A stored message, delivered by a consumer. It keeps the subject that it was
//     stored under, so m.Subject is not the endpoint.
//   - A reply to another request. It has no reply subject of its own. A reply
//     subject outside the inboxes is an error, too: the reply would be a message
//     of the replying service there.
//   - A stored message, read through the JetStream API. The server adds headers
//     that begin with Nats-.
//
// After an error, do not process m. Send an error reply only if [IsInbox] reports
// true for m.Reply.
func CheckRequest(m *nats.Msg, endpoint string) error {
	if m.Subject != endpoint {
		return fmt.Errorf("the message was published on %s and delivered to %s", m.Subject, endpoint)
	}
	if !IsInbox(m.Reply) {
		return fmt.Errorf("the reply subject must be an inbox, %s…, not %q", nats.InboxPrefix, m.Reply)
	}
	for key := range m.Header {
		if strings.HasPrefix(strings.ToLower(key), "nats-") {
			return fmt.Errorf("the header %s belongs to a stored message", key)
		}
	}
	return nil
}

// IsInbox reports whether a subject is an inbox, the only place to send replies to.
func IsInbox(subject string) bool { return strings.HasPrefix(subject, nats.InboxPrefix) }

// Request sends a request and waits for its reply until ctx ends. It is
// [nats.Conn.RequestMsgWithContext] with a check of the reply: a stored message
// that was delivered to the inbox instead is an error. Without the check, the
// client would return it to the only request that is waiting.
func Request(ctx context.Context, conn *nats.Conn, m *nats.Msg) (*nats.Msg, error) {
	reply, err := conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return nil, err
	}
	if own := cmp.Or(conn.Opts.InboxPrefix, strings.TrimSuffix(nats.InboxPrefix, ".")) + "."; !strings.HasPrefix(reply.Subject, own) {
		return nil, fmt.Errorf("a message of %s was delivered instead of a reply", reply.Subject)
	}
	return reply, CheckReply(reply)
}

// CheckReply returns an error if m is a stored message that the server was asked
// to send to the inbox, instead of a reply. The caller must check that m.Subject is
// its own inbox; [Request] does both.
func CheckReply(m *nats.Msg) error {
	for _, key := range []string{"Nats-Stream", "Nats-Subject", "Nats-Sequence"} {
		if len(m.Header[key]) > 0 {
			return fmt.Errorf("a stored message was delivered instead of a reply (header %s)", key)
		}
	}
	return nil
}

// CheckDelivery returns the metadata of m, with its sequences. It returns an error
// unless m was delivered by this consumer, since another one may have been created
// to deliver to the same inbox.
func CheckDelivery(m jetstream.Msg, consumer *jetstream.ConsumerInfo) (*jetstream.MsgMetadata, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, fmt.Errorf("not a message of a JetStream consumer: %w", err)
	}
	if meta.Stream != consumer.Stream || meta.Consumer != consumer.Name {
		return nil, fmt.Errorf("the message was delivered by consumer %s on %s, not by %s on %s", meta.Consumer, meta.Stream, consumer.Name, consumer.Stream)
	}
	return meta, nil
}
