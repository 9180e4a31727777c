// Package broker tests the ingress and the dispatcher of Brokers as processes: with a file of Brokers and Triggers in the place of a cluster, and
// an EventMesh in memory. EVENTMESH_GRPC_URL and EVENTMESH_TCP_URL name a real one instead, and EVENTMESH_STORAGE=rocketmq says that it has such a
// storage; over TCP it has to take events larger than by default.
package broker
