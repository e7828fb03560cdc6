package natsauth_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/natsauth"
	"lonja/kit/natsembed"
)

// Two services on one server: shop may request invoices from billing, and do
// nothing else.
func Example() {
	if err := requestInvoice(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// invoice 7
	// shop may not listen to invoices: true
}

func requestInvoice() error {
	dir, err := os.MkdirTemp("", "natsauth-example-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	keys := filepath.Join(dir, "keys")

	shop := natsauth.AllowPublish("invoices.create")
	shop.Add(natsauth.AllowInbox("shop"))
	users, err := natsauth.Users(keys, []natsauth.Identity{
		{Name: "shop", Permissions: shop},
		{Name: "billing", Permissions: natsauth.AllowReply("invoices.create")},
	})
	if err != nil {
		return err
	}
	server, err := natsembed.Start(natsembed.Config{Dir: filepath.Join(dir, "nats"), Addr: "127.0.0.1:0", Users: users})
	if err != nil {
		return err
	}
	defer server.Stop()

	billing, err := connect(server.URL(), keys, "billing")
	if err != nil {
		return err
	}
	defer billing.Close()
	_, err = billing.Subscribe("invoices.create", func(m *nats.Msg) {
		if err := natsauth.CheckRequest(m, "invoices.create"); err == nil {
			_ = m.Respond([]byte("invoice 7"))
		}
	})
	if err = errors.Join(err, billing.Flush()); err != nil {
		return err
	}

	client, err := connect(server.URL(), keys, "shop")
	if err != nil {
		return err
	}
	defer client.Close()
	reply, err := client.Request("invoices.create", nil, 10*time.Second)
	if err != nil {
		return err
	}
	fmt.Println(string(reply.Data))

	sub, err := client.SubscribeSync("invoices.>")
	if err != nil {
		return err
	}
	_, err = sub.NextMsg(10 * time.Second)
	fmt.Println("shop may not listen to invoices:", errors.Is(err, nats.ErrPermissionViolation))
	return nil
}

// connect connects as an identity.
func connect(url, keys, identity string) (*nats.Conn, error) {
	key, err := natsauth.LoadKey(keys, identity)
	if err != nil {
		return nil, err
	}
	public, err := key.PublicKey()
	if err != nil {
		return nil, err
	}
	return nats.Connect(url, nats.Nkey(public, key.Sign), nats.CustomInboxPrefix(natsauth.InboxPrefix(identity)),
		nats.PermissionErrOnSubscribe(true), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
}

// The configuration of a cluster of three servers, written twice: the second
// call rotates a key and changes nothing else.
func ExampleWriteConfig() {
	dir, err := os.MkdirTemp("", "natsauth-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	config := natsauth.Config{
		Name: "counters", Account: "COUNTERS", Dir: dir, Servers: []string{"n1", "n2", "n3"}, TLS: true,
		Identities: []natsauth.Identity{
			{Name: "operator", Permissions: natsauth.AllowAll()},
			{Name: "worker", Permissions: natsauth.AllowConsume("COUNTERS", "worker")},
		},
	}
	for range 2 {
		result, err := natsauth.WriteConfig(config)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("created", result.Created, "kept", result.Kept, "rotating", result.Rotating)
		config.Rotate = []string{"worker"}
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		fmt.Println(e.Name())
	}
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// created [operator worker] kept [] rotating []
	// created [worker] kept [operator] rotating [worker]
	// auth.conf
	// keys
	// n1.conf
	// n2.conf
	// n3.conf
	// tls
}
