package keyring

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

// Message is the body of a message on Stream: a key, wrapped, or that it was destroyed.
type Message struct {
	KEK       string `json:"kek,omitempty"` // id of the key-encryption key
	Key       []byte `json:"key,omitempty"` // nonce, then the encrypted key; the subject is authenticated
	Destroyed bool   `json:"destroyed,omitempty"`
}

// stored is a message of the stream.
type stored struct {
	Message
	owner    string
	sequence uint64
}

// keyStream is the stream. All reads ask its leader: another server may not know yet that a
// key was destroyed.
type keyStream struct{ js jetstream.JetStream }

// last returns the last message on a filter. The error is jetstream.ErrMsgNotFound if there is
// none.
func (s keyStream) last(ctx context.Context, filter string) (stored, error) {
	return s.get(ctx, map[string]any{"last_by_subj": filter})
}

// next returns the first message on a filter with at least a sequence, as last does.
func (s keyStream) next(ctx context.Context, filter string, from uint64) (stored, error) {
	return s.get(ctx, map[string]any{"next_by_subj": filter, "seq": from})
}

func (s keyStream) get(ctx context.Context, query map[string]any) (stored, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	data, _ := json.Marshal(query) // strings and numbers only, so it cannot fail
	reply, err := natsauth.Request(ctx, s.js.Conn(), &nats.Msg{Subject: "$JS.API.STREAM.MSG.GET." + Stream, Data: data})
	if err != nil {
		return stored{}, err
	}
	var response struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject  string `json:"subject"`
			Sequence uint64 `json:"seq"`
			Data     []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &response); err != nil {
		return stored{}, fmt.Errorf("the response cannot be decoded: %w", err)
	}
	if response.Error != nil && response.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return stored{}, jetstream.ErrMsgNotFound
	}
	if response.Error != nil {
		return stored{}, response.Error
	}
	m := response.Message
	found := stored{owner: strings.TrimPrefix(m.Subject, prefix), sequence: m.Sequence}
	if err := json.Unmarshal(m.Data, &found.Message); err != nil {
		return stored{}, fmt.Errorf("message %d is not a key: %w", m.Sequence, err)
	}
	// What a key seals must not outlive it.
	return found, eventlog.AwaitSync(ctx, s.js, Stream, m.Sequence)
}

// append stores a message of an owner, if the last one has the sequence after; 0 means none.
// The error of a conflict is that of JetStream.
func (s keyStream) append(ctx context.Context, owner string, after uint64, m Message) (sequence uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	data, err := json.Marshal(m)
	if err != nil {
		return 0, err
	}
	ack, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: Subject(owner), Data: data, Header: nats.Header{
		jetstream.ExpectedStreamHeader:      {Stream},
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(after, 10)},
	}}, jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// eraseBefore overwrites an owner's messages below a sequence on the server's disk. It may be
// repeated.
func (s keyStream) eraseBefore(ctx context.Context, owner string, sequence uint64) error {
	stream, err := s.js.Stream(ctx, Stream)
	if err != nil {
		return err
	}
	for failed := uint64(0); ; {
		old, err := s.next(ctx, Subject(owner), 0)
		if err != nil || old.sequence >= sequence {
			return err
		}
		if err := stream.SecureDeleteMsg(ctx, old.sequence); err != nil {
			if failed == old.sequence {
				return err
			}
			failed = old.sequence // another process may have erased it just now
		}
	}
}

// owners returns the owners that the stream has a message of.
func (s keyStream) owners(ctx context.Context) ([]string, error) {
	stream, err := s.js.Stream(ctx, Stream)
	if err != nil {
		return nil, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return nil, err
	}
	owners := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		owners = append(owners, strings.TrimPrefix(subject, prefix))
	}
	return owners, nil
}
