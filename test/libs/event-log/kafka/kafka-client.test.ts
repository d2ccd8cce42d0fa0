import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readKafkaUrl } from '../../../../libs/engines/engine-urls.ts';
import { createKafka } from '../../../../libs/event-log/kafka/kafka-client.ts';
import { createCluster } from '../../../../libs/event-log/kafka/kafka-cluster.ts';

interface Queue {
  pending: object[];
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  scheduleCheckPendingRequests(): void;
}

const load = createRequire(import.meta.url);

function newQueue(): Queue {
  const RequestQueue = load('kafkajs/src/network/requestQueue/index.js');
  const logger = { debug: () => undefined };
  return new RequestQueue({ clientId: 'test', broker: 'none', logger, requestTimeout: 1_000 });
}

describe('kafkajs as it is used here', () => {
  const kafka = createKafka(readKafkaUrl('kafka://127.0.0.1:9092')!);

  it('is the version whose inside was read', () => {
    const manifest = readFileSync(join(import.meta.dirname, '../../../../package.json'), 'utf8');
    expect(JSON.parse(manifest).dependencies.kafkajs).toBe('2.2.4');
    expect(load('kafkajs/package.json').version).toBe('2.2.4');
    expect(typeof createCluster(kafka).findLeaderForPartitions).toBe('function');
  });

  it('arms no timer when nothing is pending, and one timer when something is', () => {
    const queue = newQueue();
    queue.scheduleCheckPendingRequests();
    expect(queue.throttleCheckTimeoutId).toBeNull();
    queue.pending.push({});
    queue.scheduleCheckPendingRequests();
    const timer = queue.throttleCheckTimeoutId;
    expect(timer).not.toBeNull();
    queue.scheduleCheckPendingRequests();
    expect(queue.throttleCheckTimeoutId).toBe(timer);
    clearTimeout(timer!);
  });
});
