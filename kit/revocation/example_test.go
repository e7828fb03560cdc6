package revocation_test

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/revocation"
)

// Ana signs in, and her logout is event 17. Her token from before is rejected, the next
// one is valid.
func Example() {
	if err := logout(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// before: <nil>
	// rejected: true
	// next token: <nil>
}

func logout() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	js, _, stop, err := kittest.JetStream(ctx, jetstream.StreamConfig{Name: revocation.Stream, Subjects: []string{"revocations.>"},
		MaxMsgsPerSubject: 1, MaxAge: revocation.Retention, AllowDirect: true})
	if err != nil {
		return err
	}
	defer stop()

	list := revocation.New(js.Conn())
	old := eventlog.Actor{ID: "ana", TokenPosition: 9} // as read from a verified token
	fmt.Println("before:", list.Check(ctx, old))
	if err := revocation.Revoke(ctx, js, "ana", 17); err != nil {
		return err
	}
	// A list of another process, or this one within a second, rejects the token.
	err = revocation.New(js.Conn()).Check(ctx, old)
	fmt.Println("rejected:", errs.Is(err, errs.Unauthenticated))
	fmt.Println("next token:", list.Check(ctx, eventlog.Actor{ID: "ana", TokenPosition: 17}))
	return nil
}
