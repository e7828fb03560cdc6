// Package events holds the published events of the shop, their codec, and what they are
// made of: ids, money and texts. It is the contract between the services, and with anyone
// else who reads the streams or publishes to them.
//
// An event is a Go struct. Its JSON is the payload of a message on the subject
//
//	events.<entity>.<id>.<event>          events.order.ord_0198f3.placed
//
// and its type, with its version, is the CloudEvents header ce-type:
//
//	lonja.<entity>.<event>.v<version>     lonja.order.placed.v1
//
// Events are kept as long as the log, so every version can be decoded for ever. An optional
// field may be added; any other change is a new version beside the old one. A golden file in
// testdata for each type and version guards that.
//
// Package command holds the commands of the services, package query the queries and their
// answers, and package claims the claims of tokens. None of them imports anything else of
// lonja's, so any program can use them.
package events
