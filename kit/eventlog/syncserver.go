package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/errs"
	"lonja/kit/natsauth"
)

// syncsLater ends the name of a server that acknowledges a message before it is on the disk; see
// natsembed.GroupSuffix.
const syncsLater = "-syncs-later"

const (
	// syncPrefix begins the subject on which the program of such a server is asked to wait:
	// "synced.ORDERS", with the sequence as the body. The answer is empty, or says in a header
	// why the message is not on the disk.
	syncPrefix = "synced."
	syncError  = "Sync-Error"
	// syncTimeout limits one wait: a disk that takes five seconds counts as failed.
	syncTimeout = 10 * time.Second
	// syncsAtOnce is for how many others the program waits at the same time.
	syncsAtOnce = 1024
)

// PermissionsToAwaitSync returns what a program needs to wait for the disk of a server that is in
// another one; see ServeSync.
func PermissionsToAwaitSync() natsauth.Permissions { return natsauth.AllowPublish(syncPrefix + "*") }

// ServeSync lets other programs wait for the disk of the server in this one: their Log.AwaitSync
// asks here. It serves until conn is closed. The error is that of the subscription.
func ServeSync(conn *nats.Conn, sync SyncFunc) error {
	slots := make(chan struct{}, syncsAtOnce)
	_, err := conn.Subscribe(syncPrefix+"*", func(m *nats.Msg) {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			answer := nats.NewMsg(m.Reply)
			if err := awaitFor(m, sync); err != nil {
				answer.Header.Set(syncError, err.Error())
			}
			_ = conn.PublishMsg(answer) // who gets no answer asks again
		}()
	})
	return err
}

// awaitFor waits for what a request asks for.
func awaitFor(m *nats.Msg, sync SyncFunc) error {
	sequence, err := strconv.ParseUint(string(m.Data), 10, 64)
	if err != nil {
		return fmt.Errorf("the body %.30q is no sequence", m.Data)
	}
	ctx, cancel := context.WithTimeout(context.Background(), syncTimeout)
	defer cancel()
	return sync(ctx, strings.TrimPrefix(m.Subject, syncPrefix), sequence)
}

// askSynced asks the program of the server to wait. Errors are those of the answer and of the
// request.
func askSynced(ctx context.Context, conn *nats.Conn, stream string, sequence uint64) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	answer, err := conn.RequestWithContext(ctx, syncPrefix+stream, strconv.AppendUint(nil, sequence, 10))
	if errors.Is(err, nats.ErrNoResponders) {
		return errs.New(errs.Unavailable, "the NATS server acknowledges messages before it syncs them, and nobody on %s says when it has: start lonja up of this version there, or with --sync always", syncPrefix+stream)
	}
	if err == nil && answer.Header.Get(syncError) != "" {
		err = errors.New(answer.Header.Get(syncError))
	}
	return err
}
