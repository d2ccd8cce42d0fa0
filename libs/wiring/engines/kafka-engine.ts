/** The log in Kafka; loaded only when a configuration names it. */
import type { KafkaEngine } from '../../engines/engine-urls.ts';
import { openEventLogKafka } from '../../event-log/kafka/event-log-kafka.ts';
import { createKafka } from '../../event-log/kafka/kafka-client.ts';
import { makeTopics } from '../../event-log/kafka/kafka-topic.ts';
import type { Engine } from './engine.ts';

export const kafkaEngine: Engine<KafkaEngine> = {
  async openLog(settings) {
    const log = await openEventLogKafka(settings);
    return { log: () => log, close: () => log.close() };
  },
  async migrate(_part, settings) {
    const made = await makeTopics(createKafka(settings), settings);
    return made.length === 0 ? 'nothing to do' : `topics made: ${made.join(', ')}`;
  },
};
