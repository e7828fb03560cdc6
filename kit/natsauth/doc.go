// Package natsauth restricts what each part of an application may do on NATS,
// and checks that a message is what it claims to be.
//
// [Permissions] lists the subjects that one identity may publish and subscribe
// to. The Allow functions build it from tasks, such as reading a stream or
// working on a consumer. An identity that is given only the permissions of its
// tasks stays limited to them when its process has been taken over.
//
// Identities connect with NKeys. There are two ways to let a server know them:
//
//   - [WriteConfig] writes keys, permissions and certificates as configuration
//     files for nats-server, for one server or a cluster.
//   - [Users] creates the keys and returns the users for a server that runs in
//     this process; see package natsembed.
//
// A client connects with the key from [LoadKey] and the inbox prefix from
// [InboxPrefix].
//
// Permissions do not cover what a server publishes on behalf of clients: it
// delivers a stream's messages to any subject that a consumer names, and sends a
// reply to any subject that a request names. So headers do not prove who sent a
// message.
// [CheckRequest], [Request], [CheckReply] and [CheckDelivery] reject messages
// that came about this way; check each message before you trust its headers.
package natsauth
