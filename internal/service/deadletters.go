package service

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"lonja/internal/eventlog"
	"lonja/internal/wire"
)

// Headers of a dead letter, besides those of the message that died. Control
// headers of NATS are left out.
const (
	HeaderReason   = "lonja-reason"
	HeaderConsumer = "lonja-consumer" // that failed; "undecodable" when nobody can read it
	HeaderStream   = "lonja-stream"   // where the message is,
	HeaderSequence = "lonja-sequence" // and at which sequence
	HeaderSubject  = "lonja-subject"
)

// undecodable stands for all readers: what one cannot decode, none can.
const undecodable = "undecodable"

// deadLetters keeps what could not be handled on the stream DEADLETTERS:
//
//	deadletters.<consumer>.<stream>.<sequence>
//
// One message and consumer make one letter, however often it is reported.
type deadLetters struct {
	js    jetstream.JetStream
	count prometheus.Counter
}

func (d *deadLetters) keep(ctx context.Context, consumer, stream string, seq uint64, subject, reason string, h nats.Header, data []byte) error {
	header := nats.Header{}
	for key, values := range h {
		if !strings.HasPrefix(strings.ToLower(key), "nats-") {
			header[key] = values
		}
	}
	set := func(key, value string) { header[key] = []string{value} }
	set(HeaderReason, strings.ToValidUTF8(reason, "?"))
	set(HeaderConsumer, consumer)
	set(HeaderStream, stream)
	set(HeaderSequence, strconv.FormatUint(seq, 10))
	set(HeaderSubject, subject)
	set(jetstream.ExpectedStreamHeader, "DEADLETTERS")
	set(jetstream.ExpectedLastSubjSeqHeader, "0")
	_, err := d.js.PublishMsg(ctx, &nats.Msg{
		Subject: "deadletters." + consumer + "." + stream + "." + strconv.FormatUint(seq, 10),
		Header:  header,
		Data:    data,
	})
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == 10071 || api.ErrorCode == 10164 || api.ErrorCode == 10158) {
		return nil // it is there already
	}
	if err == nil {
		d.count.Inc()
	}
	return err
}

// undecodable keeps a message of the log that is no fact.
func (d *deadLetters) undecodable(ctx context.Context, r eventlog.Recorded) error {
	return d.keep(ctx, undecodable, r.Stream, r.Sequence, r.Subject, r.Err.Error(), r.Headers, r.Data)
}

// Publish implements message.Publisher for Watermill's poison queue.
func (d *deadLetters) Publish(_ string, msgs ...*message.Message) error {
	for _, m := range msgs {
		h := nats.Header{}
		for key, value := range m.Metadata {
			h[key] = []string{value}
		}
		seq, _ := strconv.ParseUint(m.Metadata.Get(wire.MetaSequence), 10, 64)
		err := d.keep(m.Context(), m.Metadata.Get(middleware.PoisonedHandlerKey), m.Metadata.Get(wire.MetaStream), seq,
			m.Metadata.Get(wire.MetaSubject), m.Metadata.Get(middleware.ReasonForPoisonedKey), h, m.Payload)
		if err != nil {
			return err
		}
	}
	return nil
}

// Close implements message.Publisher; the connection is not its own.
func (d *deadLetters) Close() error { return nil }
